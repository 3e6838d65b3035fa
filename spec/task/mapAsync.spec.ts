/** mapAsync in a running task: what overlaps, what is committed when, how it ends; exactly once over crashes at each step of a commit. */
import { expect } from 'chai'
import { type MapAsyncOptions, type Stream, topic, topology } from '../../lib/dsl/index.ts'
import { type EmbeddedBroker, embeddedBroker, embeddedTransport } from '../../lib/embedded/index.ts'
import { type MillraceError, ProcessingError } from '../../lib/errors.ts'
import type { Batch, Group, Offset, Transport } from '../../lib/kafka/port.ts'
import { tpKey } from '../../lib/record.ts'
import { json, nullable, string } from '../../lib/serde/index.ts'
import { memoryDriver } from '../../lib/store/memory.ts'
import type { TaskRun, TaskStep } from '../../lib/task/port.ts'
import { type RoutedReader, routedReader } from '../../lib/task/readerRouter.ts'
import { createTask } from '../../lib/task/task.ts'
import { until } from '../../lib/testing/until.ts'
import { nextTurn, seededRandom, systemClock, systemRandom } from '../../lib/time.ts'
import { silent } from './fakes.ts'

type Sent = [key: string | null, value: number]

/** A function whose calls end when the spec says so. */
class Calls {
  readonly open = new Map<number, { resolve(): void; reject(error: Error): void }>()
  /** Values in the order in which their calls began. */
  readonly begun: number[] = []
  most = 0

  readonly map = (value: number): Promise<string> =>
    new Promise((resolve, reject) => {
      this.begun.push(value)
      const end = (then: () => void): void => {
        this.open.delete(value)
        then()
      }
      this.open.set(value, {
        resolve: () => end(() => resolve(`r${value}`)),
        reject: (error) => end(() => reject(error))
      })
      this.most = Math.max(this.most, this.open.size)
    })

  async resolve(...values: number[]): Promise<void> {
    for (const value of values) {
      await until(() => this.open.has(value))
      this.open.get(value)!.resolve()
    }
  }
}

describe('mapAsync', () => {
  let broker: EmbeddedBroker
  let transport: Transport
  let readers: { source: RoutedReader; restore: RoutedReader }
  let app: string
  let count = 0
  let committed: number
  let dropped: [string, number | undefined][]
  let seen: (string | null)[]
  let task: TaskRun | undefined
  let running: Promise<void>
  const stop = new AbortController()

  before(() => {
    broker = embeddedBroker()
    transport = embeddedTransport({ broker })
  })
  after(async () => {
    await transport.close()
    await broker.close()
  })
  beforeEach(async () => {
    app = `async${count++}`
    committed = -1
    dropped = []
    seen = []
    const reader = (lane: 'source' | 'restore'): RoutedReader =>
      routedReader(transport, { isolation: 'committed', lane, maxWaitMs: 20 }, (error) => expect.fail(error.message))
    readers = { source: reader('source'), restore: reader('restore') }
    await transport.admin.create(
      ['in', 'out', 'rows-changelog'].map((name) => ({
        topic: `${app}-${name}`,
        partitions: 1,
        replication: 1,
        config: {}
      }))
    )
  })
  afterEach(async () => {
    await task?.close({ clean: false })
    task = undefined
    await readers.source.close()
    await readers.restore.close()
  })

  async function send(...records: Sent[]): Promise<void> {
    const producer = await transport.producer({ lane: 0 })
    for (const [i, [key, value]] of records.entries()) {
      const k = key === null ? null : Buffer.from(key)
      const v = Buffer.from(JSON.stringify(value))
      producer.writer(`${app}-in`, 0).append(i, k, 0, k?.length ?? 0, v, 0, v.length, [])
    }
    await producer.flush()
    await producer.close()
  }

  const source = () => topic(`${app}-in`, { key: nullable(string()), value: json<number>() })
  const results = () => topic(`${app}-out`, { key: nullable(string()), value: json<string>() })

  /** in → mapAsync → seen, out. */
  const job = (
    map: (value: number) => string | Promise<string>,
    options: MapAsyncOptions<string>,
    behind: (s: Stream<string | null, string>) => Stream<string | null, string> = (s) => s
  ) => {
    const t = topology()
    behind(t.stream(source()).mapAsync(map, { name: 'slow', ...options }))
      .peek(({ value }) => void seen.push(value))
      .to(results())
    return t
  }

  async function start(
    t: ReturnType<typeof topology>,
    probe: (step: TaskStep) => void = () => {},
    signal: AbortSignal = stop.signal
  ): Promise<TaskRun> {
    const group = { commit: (_meta: unknown, offsets: Offset[]) => transport.admin.resetOffsets(app, offsets) }
    const made = createTask(
      {
        id: '0_0',
        subtopology: t.build(app).subtopologies[0]!,
        partition: 0,
        sources: [{ topic: `${app}-in`, partition: 0 }]
      },
      {
        applicationId: app,
        guarantee: 'exactly-once',
        transport,
        readers,
        group: () => group as unknown as Group,
        partitionCount: () => 1,
        driver: memoryDriver,
        stateDirectory: `memory-${app}`,
        clock: systemClock,
        random: systemRandom,
        logger: silent,
        commitIntervalMs: 1,
        transactionTimeoutMs: 10_000,
        maxTaskIdleMs: 0,
        queueBytes: 1 << 20,
        outboxBytes: 1 << 20,
        cache: { limit: 1 << 20, used: 0 },
        probe: (_task, step) => probe(step),
        events: {
          dropped: (_task, reason, at) => void dropped.push([reason, at?.offset]),
          restored() {},
          committed: (_task, offsets) => {
            committed = offsets.get(tpKey(`${app}-in`, 0)) ?? committed
          }
        }
      }
    )
    task = made
    await made.open(signal)
    await made.restore(signal)
    running = made.run({ groupId: app, generation: -1, memberId: '' }, signal)
    running.catch(() => {})
    return made
  }

  /** What a reader of committed records finds. */
  async function written(): Promise<[string | null, string][]> {
    const found: [string | null, string][] = []
    const tp = { topic: `${app}-out`, partition: 0 }
    const end = (await transport.offsets([tp], 'lso')).get(tpKey(tp.topic, 0))!
    let next = 0
    const reader = routedReader(transport, { isolation: 'committed', lane: 'source', maxWaitMs: 20 }, () => {})
    reader.add(
      tp,
      0,
      ({ records, next: behind }: Batch) => {
        for (let i = 0; i < records.count; i++) {
          found.push([records.key(i)?.toString() ?? null, JSON.parse(records.value(i)!.toString())])
        }
        next = behind
      },
      (error) => expect.fail(error.message)
    )
    await until(() => next >= end)
    await reader.close()
    return found
  }

  it('calls for different keys at once, passes each result on when it is there, and commits when all are', async () => {
    const calls = new Calls()
    await send(['a', 1], ['b', 2], ['c', 3])
    await start(job(calls.map, { concurrency: 3 }))
    await until(() => calls.open.size === 3)
    await calls.resolve(2)
    await until(() => seen.length === 1)
    await calls.resolve(3)
    expect(committed).to.equal(-1)
    await calls.resolve(1)
    await until(() => committed === 3)
    expect(seen).to.deep.equal(['r2', 'r3', 'r1'])
    expect(await written()).to.deep.equal([
      ['b', 'r2'],
      ['c', 'r3'],
      ['a', 'r1']
    ])
  })

  it('calls for one key one after the other, and null keys in no order', async () => {
    const calls = new Calls()
    await send(['a', 1], ['a', 2], [null, 3], [null, 4])
    await start(job(calls.map, { concurrency: 9 }))
    await until(() => calls.open.size === 3)
    expect(calls.begun).to.deep.equal([1, 3, 4])
    await calls.resolve(4, 3, 1, 2)
    await until(() => committed === 4)
    expect(seen).to.deep.equal(['r4', 'r3', 'r1', 'r2'])
  })

  it('gives results in the order of the records when asked to', async () => {
    const calls = new Calls()
    await send(['a', 1], ['b', 2], ['c', 3])
    await start(job(calls.map, { concurrency: 3, order: 'input' }))
    await calls.resolve(3, 2)
    await nextTurn()
    expect(seen).to.deep.equal([])
    await calls.resolve(1)
    await until(() => committed === 3)
    expect(seen).to.deep.equal(['r1', 'r2', 'r3'])
  })

  it('never has more records under way than the bound, and takes the next when one is through', async () => {
    const calls = new Calls()
    await send(...Array.from({ length: 40 }, (_, i): Sent => [`k${i % 7}`, i]))
    await start(job(calls.map, { concurrency: 5 }))
    const random = seededRandom(4)
    for (let left = 40; left > 0; left--) {
      await until(() => calls.open.size > 0)
      const open = [...calls.open.keys()]
      await calls.resolve(open[Math.floor(random() * open.length)]!)
    }
    await until(() => committed === 40)
    expect(calls.most).to.equal(5)
    for (let key = 0; key < 7; key++) {
      const ofKey = seen.map((r) => Number(r!.slice(1))).filter((n) => n % 7 === key)
      expect(ofKey).to.deep.equal([...ofKey].sort((a, b) => a - b))
    }
    expect(seen).to.have.length(40)
  })

  it('takes a function that answers at once, at any number of records', async () => {
    await send(...Array.from({ length: 3_000 }, (_, i): Sent => ['a', i]))
    await start(job((value) => `r${value}`, { concurrency: 2 }))
    await until(() => committed === 3_000)
    expect(seen).to.deep.equal(Array.from({ length: 3_000 }, (_, i) => `r${i}`))
  })

  it('never flushes with calls under way', async () => {
    const calls = new Calls()
    const under: number[] = []
    await send(...Array.from({ length: 12 }, (_, i): Sent => [`k${i}`, i]))
    await start(job(calls.map, { concurrency: 4 }), (step) => {
      if (step === 'commit:flushed') under.push(calls.open.size)
    })
    for (let i = 0; i < 12; i++) await calls.resolve(i)
    await until(() => committed === 12)
    expect(new Set(under)).to.deep.equal(new Set([0]))
  })

  it('a rejection fails its own record, whichever is in hand', async () => {
    const calls = new Calls()
    await send(['a', 1], ['b', 2], ['c', 3], ['d', 4])
    await start(job(calls.map, { concurrency: 3 }))
    await until(() => calls.open.size === 3)
    calls.open.get(2)!.reject(new Error('no service'))
    const error = await running.then(
      () => expect.fail('went on'),
      (e: ProcessingError) => e
    )
    expect(error).to.be.instanceOf(ProcessingError)
    expect(error.message).to.contain('"slow"').and.contain('no service')
    expect(error.details).to.include({ node: 'slow', topic: `${app}-in`, partition: 0, offset: 1 })
    expect(committed).to.equal(-1)
  })

  it('what goes wrong behind it is told with the place of the record it belongs to', async () => {
    const calls = new Calls()
    await send(['a', 1], ['b', 2], ['c', 3])
    const behind = (s: Stream<string | null, string>) =>
      s.process<string | null, string>(
        (record, context) => {
          if (context.source?.offset === 1) return context.drop('unwanted')
          if (record.value === 'r1') throw new Error('bad result')
          return context.forward(record)
        },
        { name: 'check', key: nullable(string()), value: json<string>() }
      )
    await start(job(calls.map, { concurrency: 3 }, behind))
    await calls.resolve(2, 1)
    const error = await running.catch((e: MillraceError) => e as MillraceError)
    expect(dropped).to.deep.equal([['unwanted', 1]])
    expect(error!.details).to.include({ node: 'check', offset: 0 })
  })

  it('a call that takes too long fails its record', async () => {
    await send(['a', 1], ['b', 2])
    await start(job((value) => (value === 1 ? 'r1' : new Promise<string>(() => {})), { concurrency: 2, timeout: 5 }))
    const error = await running.catch((e: MillraceError) => e as MillraceError)
    expect(error!.message).to.contain('no result within 5 ms')
    expect(error!.details).to.include({ node: 'slow', offset: 1 })
  })

  it('drains: takes nothing more, waits for what is under way, commits it', async () => {
    const calls = new Calls()
    await send(['a', 1], ['a', 2], ['b', 3], ['c', 4], ['d', 5])
    const run = await start(job(calls.map, { concurrency: 3 }))
    await until(() => calls.open.size === 2)
    run.drain()
    await calls.resolve(3, 1, 2)
    // One that waited for room may have been taken before the drain.
    while (committed < 0) {
      await nextTurn()
      for (const { resolve } of calls.open.values()) resolve()
    }
    await running
    expect(committed).to.equal(calls.begun.length)
    expect(await written()).to.have.length(committed)
  })

  it('holds: what is under way is committed before "settled"', async () => {
    const calls = new Calls()
    await send(['a', 1], ['b', 2])
    const run = await start(job(calls.map, { concurrency: 3 }))
    await until(() => calls.open.size === 2)
    let settled = false
    const held = run.hold().then(() => {
      settled = true
    })
    await nextTurn()
    expect(settled).to.equal(false)
    await calls.resolve(1, 2)
    await held
    expect(committed).to.equal(2)
  })

  for (const [what, concurrency] of [
    ['with room', 9],
    ['when it is full', 2]
  ] as const) {
    it(`stops at an abort without waiting, ${what}; what comes later goes nowhere`, async () => {
      const calls = new Calls()
      const lost = new AbortController()
      await send(['a', 1], ['b', 2], ['c', 3])
      const run = await start(job(calls.map, { concurrency }), undefined, lost.signal)
      await until(() => calls.open.size === Math.min(concurrency, 3))
      lost.abort(new Error('lost'))
      const error = await running.catch((e: Error) => e)
      expect(error).to.have.property('message', 'lost')
      await run.close({ clean: false })
      task = undefined
      for (const { resolve } of calls.open.values()) resolve()
      await nextTurn()
      expect(seen).to.deep.equal([])
      expect(committed).to.equal(-1)
    })
  }

  it('behind a cached table takes what a commit flushes, and the commit waits for it', async () => {
    const calls = new Calls()
    await send(['a', 1], ['b', 2], ['a', 3])
    const t = topology()
    t.table(source(), { name: 'rows' })
      .toStream()
      .mapAsync((value) => calls.map(value!), { concurrency: 1, name: 'slow' })
      .peek(({ value }) => void seen.push(value))
      .to(results() as ReturnType<typeof topic<string, string>>)
    const under: number[] = []
    await start(t, (step) => {
      if (step === 'commit:flushed') under.push(calls.open.size)
    })
    while (committed < 3) {
      await nextTurn()
      for (const { resolve } of calls.open.values()) resolve()
    }
    expect(new Set(under)).to.deep.equal(new Set([0]))
    expect(seen.slice(-2)).to.have.members(['r2', 'r3'])
    expect(await written()).to.have.length(seen.length)
  })

  it('refuses a bound and a time-out that cannot be', () => {
    const stream = topology().stream(source())
    for (const concurrency of [0, 1.5, undefined]) {
      expect(() => stream.mapAsync((n) => n, { concurrency: concurrency as number })).to.throw('concurrency')
    }
    expect(() => stream.mapAsync((n) => n, { concurrency: 1, timeout: '5 parsecs' as '5s' })).to.throw(RangeError)
  })

  const STEPS: TaskStep[] = [
    'commit:flushed',
    'commit:produced',
    'commit:offsets',
    'commit:committed',
    'commit:persisted'
  ]
  for (const step of STEPS) {
    it(`writes each result exactly once, in the order of its key, after crashes at ${step}`, async () => {
      const random = seededRandom(STEPS.indexOf(step) + 1)
      const all = Array.from({ length: 200 }, (_, i): Sent => [`k${i % 5}`, i])
      await send(...all)
      const slowly = async (value: number): Promise<string> => {
        for (let turns = Math.floor(random() * 4); turns > 0; turns--) await nextTurn()
        return `r${value}`
      }
      let crashes = 0
      const done = async (): Promise<boolean> => {
        const tp = { topic: `${app}-in`, partition: 0 }
        return (await transport.committed(app, [tp])).get(tpKey(tp.topic, 0))?.offset === 200
      }
      while (crashes < 4 && !(await done())) {
        let after = Math.floor(random() * 2)
        const life = await start(job(slowly, { concurrency: 8 }), (at) => {
          if (at === step && after-- === 0) throw new Error('crash')
        })
        const crashed = running.then(
          () => {},
          () => void crashes++
        )
        const over = new AbortController()
        await Promise.race([crashed, until(done, { signal: over.signal }).catch(() => {})])
        over.abort()
        await life.close({ clean: false })
      }
      expect(crashes).to.be.above(0)
      const last = await start(job(slowly, { concurrency: 8 }))
      await until(done)
      last.drain()
      await running
      const found = await written()
      for (let key = 0; key < 5; key++) {
        const expected = all.filter(([k]) => k === `k${key}`).map(([, value]) => `r${value}`)
        expect(found.filter(([k]) => k === `k${key}`).map(([, r]) => r)).to.deep.equal(expected)
      }
    })
  }
})
