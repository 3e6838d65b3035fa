/** Questions about keys, from a runtime to its behaviours, on the embedded log. */
import { expect } from 'chai'
import { json, type MillraceOptions, NotOwnerError, type Runtime, string, topic } from '../../actors/index.ts'
import { keyedBehaviour } from '../../lib/behaviour/keyed.ts'
import { MillraceError } from '../../lib/errors.ts'
import { until } from '../../lib/testing/until.ts'
import { embeddedJobs, publish } from '../actors/jobKit.ts'

const words = topic('words', { value: string() })
const totals = topic('totals', json<number>())

/** Counts the words of a key; `add` changes the count from outside, and says what it has become. */
const counter = keyedBehaviour('counter', {
  inputs: { words },
  outputs: { totals },
  key: string(),
  state: json<number>(),
  logic: () => ({
    receive: (_input, count = 0) => count + 1,
    timer: (_name, count) => count,
    query: (name, count = 0) => (name === 'count' ? count : undefined),
    ask(_name, count = 0, input, context) {
      const next = count + (input as number)
      if (Number.isNaN(next)) throw new RangeError('not a number')
      context.emit('totals', next)
      return { state: next, reply: next }
    }
  })
})

const KEYS = ['ada', 'bob', 'cyd', 'dan', 'eve', 'fay', 'gil', 'hal']

describe('questions to a runtime', function () {
  this.timeout(30_000)
  const jobs = embeddedJobs({ words: 4, totals: 1 })
  const job = (client: string, more: Partial<MillraceOptions> = {}): Runtime =>
    jobs.runtime(client, { topology: counter, guarantee: 'exactly-once', ...more })
  const start = async (runtime: Runtime) => {
    const app = await runtime.run({ signals: false })
    jobs.closers.push(() => app.drain())
    return app
  }

  it('wait for the task that has the key, also when it is asked before the runtime was started', async () => {
    const runtime = job('a')
    await publish(jobs.transport, 'words', [
      ['ada', 'x'],
      ['bob', 'y'],
      ['ada', 'z']
    ])
    const early = runtime.query(counter, 'ada', 'count')
    await start(runtime)
    expect(await early).to.be.oneOf([0, 1, 2])
    await until(async () => (await runtime.query(counter, 'ada', 'count')) === 2, { what: 'both words are counted' })
    expect(await runtime.query(counter, 'nobody', 'count')).to.equal(0)
  })

  it('are replied to after the commit that holds the change, and what was emitted is visible then', async () => {
    const runtime = job('a')
    await start(runtime)
    expect(await runtime.ask(counter, 'ada', 'add', 5)).to.equal(5)
    const watcher = await jobs.watch('totals')
    await watcher.toEnd()
    expect(watcher.latest()).to.deep.equal({ ada: 5 })
    expect(await Promise.all(KEYS.map((key) => runtime.ask(counter, key, 'add', 1)))).to.deep.equal([
      6,
      ...KEYS.slice(1).map(() => 1)
    ])
  })

  it('fail the asker only when a handler throws', async () => {
    const runtime = job('a')
    const app = await start(runtime)
    const refused = await runtime.ask(counter, 'ada', 'add', Number.NaN).catch((error: unknown) => error)
    expect(String(refused)).to.contain('not a number')
    expect(await runtime.ask(counter, 'ada', 'add', 1)).to.equal(1)
    expect(app.healthy).to.equal(true)
  })

  it('say who has the key when it is in another process, and that the time is over when nobody runs', async () => {
    const a = job('a', { advertise: 'a.local:1' })
    const b = job('b', { advertise: 'b.local:1' })
    const apps = [await start(a), await start(b)]
    await until(
      () => apps.every(({ tasks }) => Object.values(tasks).filter((t) => t.state === 'running').length === 2),
      {
        what: 'each has two tasks'
      }
    )
    const answers = await Promise.all(
      KEYS.map(async (key) => {
        const both = await Promise.all([a, b].map((r) => r.ask(counter, key, 'add', 1).catch((e: unknown) => e)))
        return both.map((answer) => (answer instanceof NotOwnerError ? answer.owner : answer))
      })
    )
    for (const answer of answers) {
      expect(answer).to.satisfy(
        ([x, y]: unknown[]) => (x === 1 && y === 'a.local:1') || (x === 'b.local:1' && y === 1),
        JSON.stringify(answer)
      )
    }
    expect(new Set(answers.map(([x]) => typeof x)).size, 'both have some').to.equal(2)
    for (const app of apps) await app.drain()
    const late = await a.query(counter, 'ada', 'count', undefined, { timeout: 10 }).catch((error: unknown) => error)
    expect(late).to.be.instanceOf(MillraceError).and.include({ code: 'ERR_TIMEOUT' })
  })

  it('go on across a hand-over: no ask that was answered is lost', async () => {
    const a = job('a')
    const b = job('b')
    await start(a)
    let sum = 0
    const asking = (async () => {
      for (let i = 0; i < 60; i++) {
        for (const runtime of [a, b]) {
          const reply = await runtime.ask(counter, KEYS[i % 8]!, 'add', 1, { timeout: '20s' }).catch((e: unknown) => e)
          if (typeof reply !== 'number') {
            expect(reply).to.be.instanceOf(NotOwnerError)
            continue
          }
          sum++
          break
        }
        if (i === 10) await start(b)
      }
    })()
    // `b` is asked only once it runs: before that it has no task, and every key is in `a`.
    await asking
    // The hand-over may be under way still: between the two, nobody has the key.
    const kept = await until(
      () =>
        Promise.all(
          KEYS.map(
            (key) => a.query(counter, key, 'count').catch(() => b.query(counter, key, 'count')) as Promise<number>
          )
        ).catch((error) => {
          expect(error).to.be.instanceOf(NotOwnerError)
          return undefined
        }),
      { what: 'each key has an owner' }
    )
    expect(kept.reduce((x, y) => x + y, 0)).to.equal(sum)
    expect(sum).to.be.greaterThan(20)
  })
})
