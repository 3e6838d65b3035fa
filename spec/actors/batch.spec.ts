/** Batch runs on the embedded log: they end where they were told, with everything behind it through the job, and say what they did. */
import { expect } from 'chai'
import { createActor, toPromise } from 'xstate'
import { type MillraceOptions, type Runtime, string, topic, topology } from '../../actors/index.ts'
import { MillraceError } from '../../lib/errors.ts'
import { NO_HEADERS } from '../../lib/record.ts'
import { until } from '../../lib/testing/until.ts'
import { createTopics, embeddedJobs, publish, Watcher } from './jobKit.ts'

const words = topic('words', { value: string() })
const totals = topic('totals', { value: string() })

/** Two repartitions behind one another: by word, then by its length. */
const counting = () => {
  const t = topology()
  t.stream(words)
    .groupBy((record) => record.value, { name: 'by-word', key: string() })
    .count({ name: 'counts' })
    .toStream()
    .map(({ key, value }) => ({ key: `${key.length}`, value: `${value}` }), { key: string() })
    .repartition({ name: 'by-length', key: string(), value: string() })
    .mapValues((value) => value)
    .to(totals)
  return t
}

const WORDS = ['a', 'bb', 'ccc', 'dddd']
const input = (n: number): [string, string][] => Array.from({ length: n }, (_, i) => [`k${i}`, WORDS[i % 4]!])
const perWord = (n: number): Record<string, number> => ({ 1: n / 4, 2: n / 4, 3: n / 4, 4: n / 4 })

describe('a batch run', function () {
  this.timeout(30_000)
  const jobs = embeddedJobs({ words: 3, totals: 2 })
  const job = (more: Partial<MillraceOptions> = {}, client = 'a'): Runtime =>
    jobs.runtime(client, { topology: counting(), guarantee: 'exactly-once', ...more })
  const results = async (): Promise<Record<string, number>> => {
    const watcher = await new Watcher(jobs.transport, 'totals').start()
    await watcher.toEnd()
    await watcher.close()
    return watcher.latest()
  }

  for (const guarantee of ['exactly-once', 'at-least-once'] as const) {
    it(`processes what there is through all repartitions, commits, reports and stops by itself, ${guarantee}`, async () => {
      await publish(jobs.transport, 'words', input(400))
      const app = await job({ guarantee }).run({ until: 'caught-up', signals: false })
      const report = await app.stopped
      expect(report).to.include({ reached: true, exitCode: 0, partitions: 9 })
      // The words, a repartitioned record for each, and one for each count that was committed.
      expect(report.records).to.be.at.least(804)
      expect(await results()).to.deep.equal(perWord(400))
      expect(app.state).to.equal('stopped')
    })
  }

  it('waits for what a foreign-key join asks again', async () => {
    await createTopics(jobs.transport, { cities: 1 })
    const t = topology()
    // Two changes by one record: the answer to the first one is late, to the second there is none.
    const people = t
      .stream(words)
      .flatMapValues((city) => [`Ann@${city}`, `Bob@${city}`], { value: string() })
      .toTable({ name: 'people', caching: false })
    const cities = t.table(topic('cities', string()))
    const named = { name: 'homes', value: string(), caching: false }
    people
      .joinByForeignKey(
        cities,
        (person) => person.slice(4),
        (person, city) => `${person} in ${city}`,
        named
      )
      .toStream()
      .mapValues((home) => home ?? 'none', { value: string() })
      .to(totals)
    await publish(jobs.transport, 'words', [
      ['p', 'rome'],
      ['p', 'oslo']
    ])
    await (await job({ topology: t }).run({ until: 'caught-up', signals: false })).stopped
    const watcher = await new Watcher(jobs.transport, 'totals').start()
    await watcher.toEnd()
    await watcher.close()
    expect(watcher.seen.map(({ key, value }) => [key, value])).to.deep.equal([['p', 'none']])
  })

  it('ends at once, with the same state, when there is nothing new; the next one goes on from there', async () => {
    await publish(jobs.transport, 'words', input(40))
    await (await job().run({ until: 'caught-up', signals: false })).stopped
    const again = await (await job().run({ until: 'caught-up', signals: false })).stopped
    expect(again).to.include({ reached: true, records: 0 })
    await publish(jobs.transport, 'words', input(40), 40)
    await (await job().run({ until: 'caught-up', signals: false })).stopped
    expect(await results()).to.deep.equal(perWord(80))
  })

  it('ends where there is no input at all', async () => {
    const report = await (await job().run({ until: 'caught-up', signals: false })).stopped
    expect(report).to.include({ reached: true, records: 0 })
  })

  it('is not held up by transaction markers and aborted records at the end of an input', async () => {
    await publish(jobs.transport, 'words', input(40))
    const writer = await jobs.transport.txnProducer('other', { lane: 1, timeoutMs: 60_000 })
    const w = writer.writer('words', 0)
    const k = Buffer.from('x')
    w.append(1, k, 0, 1, k, 0, 1, NO_HEADERS)
    await writer.flush()
    await writer.abort()
    await writer.close()
    await until(async () => {
      const tps = [{ topic: 'words', partition: 0 }]
      const [lso, hw] = await Promise.all([jobs.transport.offsets(tps, 'lso'), jobs.transport.offsets(tps, 'hw')])
      return lso.get('words-0') === hw.get('words-0')
    })
    const report = await (await job().run({ until: 'caught-up', signals: false })).stopped
    expect(report.reached).to.equal(true)
    expect(await results()).to.deep.equal(perWord(40))
  })

  it('takes no record at or past the offsets it is given', async () => {
    const seen: string[] = []
    const t = topology()
    t.stream(words)
      .peek(({ key }) => void seen.push(key as string))
      .to(totals)
    await publish(jobs.transport, 'words', input(60))
    const app = await job({ topology: t }).run({
      until: { offsets: { 'words-0': 3, 'words-1': 0, 'words-2': 5 } },
      signals: false
    })
    expect(await app.stopped).to.include({ reached: true, records: 8 })
    expect(seen).to.have.length(8)
  })

  it('takes what comes before the first record of a time', async () => {
    await publish(jobs.transport, 'words', input(60)) // the event time is the index
    const t = topology()
    t.stream(words).to(totals)
    const app = await job({ topology: t }).run({ until: { timestamp: 24 }, signals: false })
    expect(await app.stopped).to.include({ reached: true, records: 24 })
  })

  it('leaves what comes meanwhile for the next run', async () => {
    await publish(jobs.transport, 'words', input(40))
    const t = topology()
    let more: Promise<void> | undefined
    t.stream(words)
      .peek(() => {
        more ??= publish(jobs.transport, 'words', input(40), 40)
      })
      .to(totals)
    const report = await (await job({ topology: t }).run({ until: 'caught-up', signals: false })).stopped
    await more
    expect(report.records).to.equal(40)
  })

  it('shares the work with another process of the job, and both end', async () => {
    await publish(jobs.transport, 'words', input(4_000))
    const apps = await Promise.all(
      ['a', 'b'].map((client) => job({}, client).run({ until: 'caught-up', signals: false }))
    )
    const reports = await Promise.all(apps.map((app) => app.stopped))
    expect(reports.map((r) => r.reached)).to.deep.equal([true, true])
    expect(await results()).to.deep.equal(perWord(4_000))
  })

  it('says by its exit status that it was stopped before its end', async () => {
    const app = await job().run({ until: { offsets: { 'words-0': 1_000_000 } }, signals: false })
    expect(await app.drain()).to.include({ reached: false, exitCode: 2 })
  })

  it('refuses an end that cannot be meant', async () => {
    const failed = async (until: never): Promise<MillraceError> =>
      job()
        .run({ until, signals: false })
        .then((app) => app.stopped)
        .then(
          () => expect.fail('it ran'),
          (error: MillraceError) => error
        )
    for (const wrong of ['caughtup', { offset: {} }, { timestamp: 1.5 }, { offsets: { 'words-0': -1 } }]) {
      expect((await failed(wrong as never)).message, JSON.stringify(wrong)).to.match(/until/)
    }
    const strange = await failed({ offsets: { 'word-0': 1 } } as never)
    expect(strange).to.be.instanceOf(MillraceError)
    expect(strange.message).to.contain('word-0')
  })

  it('tells how far it is, and goes on until there is what was asked for', async () => {
    await createTopics(jobs.transport, { one: 1 })
    await publish(jobs.transport, 'one', input(6))
    const t = topology()
    t.stream(topic('one', { value: string() })).to(totals)
    const app = await job({ topology: t }).run({ until: { offsets: { 'one-0': 10 } }, signals: false })
    const told: unknown[] = []
    app.on('runtime.progress', ({ batch, records }) => told.push({ records, ...batch }))
    await until(() => told.length > 0)
    expect(told[0]).to.deep.equal({ records: 6, done: 6, total: 10 })
    await publish(jobs.transport, 'one', input(6), 6)
    expect(await app.stopped).to.include({ reached: true, records: 10 })
  })

  it('is done with its report when it is invoked by a host', async () => {
    await publish(jobs.transport, 'words', input(40))
    const actor = createActor(job().logic, { input: { until: 'caught-up' } })
    const end = toPromise(actor)
    actor.start()
    expect(await end).to.include({ reached: true, exitCode: 0 })
    expect(await results()).to.deep.equal(perWord(40))
  })
})
