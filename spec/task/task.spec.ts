import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { topic, topology, tumbling } from '../../lib/dsl/index.ts'
import { type EmbeddedBroker, embeddedBroker, embeddedTransport } from '../../lib/embedded/index.ts'
import { TransportError } from '../../lib/errors.ts'
import type { Group, Offset, Transport } from '../../lib/kafka/port.ts'
import { tpKey } from '../../lib/record.ts'
import { json } from '../../lib/serde/index.ts'
import { lockDirectory } from '../../lib/store/directory.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import type { KeyValueStore } from '../../lib/store/port.ts'
import type { TaskEnv, TaskRun, TaskStep } from '../../lib/task/port.ts'
import { type RoutedReader, routedReader } from '../../lib/task/readerRouter.ts'
import { createTask } from '../../lib/task/task.ts'
import { until } from '../../lib/testing/until.ts'
import { stopwatch, systemClock, systemRandom } from '../../lib/time.ts'
import type { Buildable } from '../../lib/topology/built.ts'
import { silent } from './fakes.ts'

const meta = { groupId: 'app', generation: -1, memberId: '' }
const signal = new AbortController().signal

describe('A task', () => {
  let broker: EmbeddedBroker
  let transport: Transport
  let home: string
  let readers: { source: RoutedReader; restore: RoutedReader }
  let app: string
  let count = 0
  const dropped: string[] = []
  const committed = new Map<string, number>()
  const warnings: string[] = []

  before(() => {
    broker = embeddedBroker()
    transport = embeddedTransport({ broker })
  })
  after(async () => {
    await transport.close()
    await broker.close()
  })
  beforeEach(() => {
    app = `app${count++}`
    home = mkdtempSync(join(tmpdir(), 'millrace-task-'))
    readers = { source: reader('source'), restore: reader('restore') }
    dropped.length = 0
    warnings.length = 0
    committed.clear()
  })
  afterEach(async () => {
    await readers.source.close()
    await readers.restore.close()
    rmSync(home, { recursive: true, force: true })
  })

  const reader = (lane: 'source' | 'restore'): RoutedReader =>
    routedReader(transport, { isolation: 'committed', lane, maxWaitMs: 20 }, (error) => expect.fail(error.message))

  const create = (...topics: string[]): Promise<void> =>
    transport.admin.create(topics.map((name) => ({ topic: name, partitions: 1, replication: 1, config: {} })))

  async function send(name: string, records: [key: string | null, value: unknown, timestamp: number][]): Promise<void> {
    const producer = await transport.producer({ lane: 0 })
    for (const [key, value, timestamp] of records) {
      const k = key === null ? null : Buffer.from(key)
      const v = Buffer.from(JSON.stringify(value))
      producer.writer(name, 0).append(timestamp, k, 0, k?.length ?? 0, v, 0, v.length, [])
    }
    await producer.flush()
    await producer.close()
  }

  function taskOf(job: Buildable, over: Partial<TaskEnv> = {}): TaskRun {
    const sub = job.build(app).subtopologies[0]!
    const group = { commit: (_meta: unknown, offsets: Offset[]) => transport.admin.resetOffsets(app, offsets) }
    return createTask(
      {
        id: '0_0',
        subtopology: sub,
        partition: 0,
        sources: sub.sourceTopics.map((name) => ({ topic: name, partition: 0 }))
      },
      {
        applicationId: app,
        guarantee: 'exactly-once',
        transport,
        readers,
        group: () => group as unknown as Group,
        partitionCount: () => 1,
        driver: databaseDriver('rocksdb-native'),
        stateDirectory: home,
        clock: systemClock,
        random: systemRandom,
        logger: { ...silent, warn: (_facts, message) => void warnings.push(message) },
        commitIntervalMs: 10,
        transactionTimeoutMs: 10_000,
        maxTaskIdleMs: 0,
        queueBytes: 1 << 20,
        outboxBytes: 1 << 20,
        cache: { limit: 1 << 20, used: 0 },
        events: {
          dropped: (_task, reason) => void dropped.push(reason),
          restored() {},
          committed: (_task, offsets) => {
            for (const [tp, offset] of offsets) committed.set(tp, offset)
          }
        },
        ...over
      }
    )
  }

  /** Opens and runs it until `ready`, then drains and closes. */
  async function life(task: TaskRun, ready: () => unknown): Promise<void> {
    await task.open(signal)
    await task.restore(signal)
    const run = task.run({ ...meta, groupId: app }, signal)
    run.catch(() => {})
    try {
      await Promise.race([until(ready), run])
      task.drain()
      await run
    } finally {
      await task.close({ clean: true })
    }
  }

  const at = (name: string, offset: number) => () => (committed.get(tpKey(name, 0)) ?? -1) >= offset

  it('clears offsets that a late request of its predecessor left pending for ever, and opens', async () => {
    const [from, to] = [`${app}-from`, `${app}-to`]
    await create(from, to)
    const job = topology()
    job.stream(topic(from, json<number>())).to(topic(to, json<number>()))
    let cleared = 0
    const unstable: Transport = {
      reader: (options) => transport.reader(options),
      group: (options, handler) => transport.group(options, handler),
      producer: (options) => transport.producer(options),
      offsets: (tps, place) => transport.offsets(tps, place),
      admin: transport.admin,
      close: () => transport.close(),
      committed: (group, tps, patienceMs) =>
        cleared > 0 || patienceMs !== 2_000
          ? transport.committed(group, tps, patienceMs)
          : Promise.reject(new TransportError('A transaction is being settled', 'unstable', { kafkaCode: 88 })),
      async txnProducer(id, options) {
        const producer = await transport.txnProducer(id, options)
        const clear = producer.clearOffsets.bind(producer)
        producer.clearOffsets = (group) => {
          cleared++
          return clear(group)
        }
        return producer
      }
    }
    await send(from, [['a', 1, 1]])
    await life(taskOf(job, { transport: unstable }), () => committed.get(`${from}-0`) === 1)
    expect(cleared).to.equal(1)
    expect(warnings.join()).to.contain('dead transaction')
  })

  it('starts where its source says when nothing is committed, and stays there', async () => {
    const [name, out] = [`${app}-in`, `${app}-out`]
    await create(name, out)
    await send(name, [
      ['a', 1, 1],
      ['a', 2, 2]
    ])
    const seen: unknown[] = []
    const job = (offsetReset: 'earliest' | 'latest' | 'none') => {
      const t = topology()
      t.stream(topic<string, number>(name, { value: json<number>(), offsetReset }))
        .peek((record) => void seen.push(record.value))
        .to(topic(out, json<number>()))
      return t
    }
    const refused = taskOf(job('none'))
    const error = await refused.open(signal).catch((e: unknown) => e)
    expect(error).to.have.property('code', 'ERR_NO_OFFSET')
    expect(error).to.have.property('message').that.includes(name)

    const latest = taskOf(job('latest'))
    await life(latest, () => true)
    // While nobody ran this came; the decision to start at the end was committed, so it is not lost.
    await send(name, [['a', 3, 3]])
    await life(taskOf(job('latest')), at(name, 3))
    expect(seen).to.deep.equal([3])
  })

  it('commits a start at the end before its first record: what a crash then cuts off is not skipped by the next start', async () => {
    const [name, out] = [`${app}-in`, `${app}-out`]
    await create(name, out)
    await send(name, [['a', 1, 1]])
    const seen: unknown[] = []
    const job = () => {
      const t = topology()
      t.stream(topic<string, number>(name, { value: json<number>(), offsetReset: 'latest' }))
        .peek((record) => void seen.push(record.value))
        .to(topic(out, json<number>()))
      return t
    }
    const first = taskOf(job(), {
      probe: (_task, step) => {
        if (step === 'commit:flushed' && seen.length > 0) throw new Error('crash')
      }
    })
    await first.open(signal)
    await first.restore(signal)
    const run = first.run({ ...meta, groupId: app }, signal).catch((e: Error) => e.message)
    await send(name, [['a', 2, 2]])
    expect(await run).to.equal('crash')
    await first.close({ clean: false })
    await send(name, [['a', 3, 3]])
    await life(taskOf(job()), at(name, 3))
    expect(seen).to.deep.equal([2, 2, 3])
  })

  it('goes on with its other partitions after a topic was deleted and made anew, shorter', async () => {
    const [name, other, out] = [`${app}-in`, `${app}-other`, `${app}-out`]
    await create(name, other, out)
    await send(
      name,
      [1, 2, 3, 4, 5].map((n) => ['a', n, n])
    )
    const seen: unknown[] = []
    const t = topology()
    t.stream(topic<string, number>(name, { value: json<number>() }))
      .merge(t.stream(topic<string, number>(other, { value: json<number>() })))
      .peek((record) => void seen.push(record.value))
      .to(topic(out, json<number>()))
    await life(taskOf(t), async () => {
      if (seen.length === 5 && at(name, 5)()) {
        seen.push('anew')
        await transport.admin.deleteTopics([name])
        await create(name)
        await send(name, [['a', 6, 6]])
      } else if (seen.at(-1) === 6) {
        await send(other, [['a', 7, 7]])
        await until(() => seen.includes(7))
      }
      return seen.includes(7)
    })
    expect(seen).to.deep.equal([1, 2, 3, 4, 5, 'anew', 6, 7])
    expect(warnings.join()).to.match(/does not hold the position/)
  })

  it('lets go at once when it is told to while the broker does not answer, at every step', async () => {
    const name = `${app}-in`
    await create(name, `${app}-counts-changelog`)
    const t = topology()
    t.stream(topic(name, json<number>())).groupByKey().count({ name: 'counts' })
    await send(name, [['a', 1, 1]])
    for (const [api, step] of [
      ['InitProducerId', 'open'],
      ['OffsetFetch', 'open'],
      ['ListOffsets', 'restore'],
      ['AddPartitionsToTxn', 'run'],
      ['TxnOffsetCommit', 'run'],
      ['EndTxn', 'run']
    ] as const) {
      let asked = 0
      const stop = new AbortController()
      const task = taskOf(t)
      const work = (async () => {
        if (step === 'open') hang()
        await task.open(stop.signal)
        if (step === 'restore') hang()
        await task.restore(stop.signal)
        if (step === 'run') hang()
        await task.run({ ...meta, groupId: app }, stop.signal)
      })().catch((e: Error) => e.message)
      function hang(): void {
        broker.fault((call) => {
          if (call.api !== api) return undefined
          asked++
          return { delayMs: 60_000 }
        })
      }
      await until(() => asked > 0, { what: `${api} was asked` })
      stop.abort(new Error('LOST'))
      const since = stopwatch()
      expect(await work).to.equal('LOST')
      await task.close({ clean: false })
      expect(stopwatch() - since, `${api} held it`).to.be.below(5_000)
      broker.fault(undefined)
      // The connection still waits for its answer: the next one must not stand behind it.
      await readers.source.close()
      await readers.restore.close()
      await transport.close()
      transport = embeddedTransport({ broker })
      readers = { source: reader('source'), restore: reader('restore') }
      const [file] = [join(home, '0_0')]
      await (await lockDirectory(file, { applicationId: app, taskId: '0_0' })).release()
    }
  }).timeout(40_000)

  it('frees what it took when a step of opening fails or is aborted', async () => {
    const name = `${app}-in`
    await create(name)
    const job = () => {
      const t = topology()
      t.stream(topic(name, json<number>()))
      return t
    }
    for (const step of ['open:locked', 'open:database', 'open:producer', 'open:offsets'] as TaskStep[]) {
      const stop = new AbortController()
      const task = taskOf(job(), {
        probe: (_task, now) => {
          if (now === step) stop.abort(new Error(`LOST at ${step}`))
        }
      })
      const error = await task.open(stop.signal).catch((e: Error) => e.message)
      expect(error).to.equal(`LOST at ${step}`)
    }
    const next = taskOf(job())
    await next.open(signal)
    const second = await taskOf(job())
      .open(signal)
      .catch((e: unknown) => e)
    expect(second).to.have.property('code', 'ERR_STATE_LOCKED')
    await next.close({ clean: false })
    await next.close({ clean: false })
  })

  it('reads on as its source says when the log does not hold the position any more', async () => {
    const [name, out] = [`${app}-in`, `${app}-out`]
    await create(name, out)
    await send(
      name,
      [1, 2, 3, 4].map((n) => ['a', n, n])
    )
    await transport.admin.resetOffsets(app, [{ topic: name, partition: 0, offset: 1 }])
    await transport.admin.deleteRecords([{ topic: name, partition: 0, offset: 3 }])
    const job = (offsetReset?: 'none') => {
      const t = topology()
      t.stream(topic<string, number>(name, { value: json<number>(), ...(offsetReset ? { offsetReset } : {}) }))
        .peek((record) => void seen.push(record.value))
        .to(topic(out, json<number>()))
      return t
    }
    const seen: unknown[] = []
    const strict = taskOf(job('none'))
    const error = await life(strict, () => false).catch((e: unknown) => e)
    expect(error).to.have.property('code', 'ERR_NO_OFFSET')
    await life(taskOf(job()), at(name, 4))
    expect(seen).to.deep.equal([4])
    expect(warnings.join()).to.match(/does not hold the position.*reads on from offset 3/)
  })

  it('drops records with a negative time, counts them, and commits past them', async () => {
    const [name, out] = [`${app}-in`, `${app}-out`]
    await create(name, out)
    await send(name, [
      ['a', -5, 1],
      ['a', 7, 1],
      ['a', -5, 1]
    ])
    const seen: unknown[] = []
    const t = topology()
    t.stream(topic<string, number>(name, { value: json<number>(), timestamp: (record) => record.value }))
      .peek((record) => void seen.push([record.value, record.timestamp]))
      .to(topic(out, json<number>()))
    await life(taskOf(t), at(name, 3))
    expect(seen).to.deep.equal([[7, 7]])
    expect(dropped).to.deep.equal(['negative-timestamp', 'negative-timestamp'])
  })

  it("takes an operator's own time along to another machine: what was late stays late", async () => {
    const [name, out] = [`${app}-in`, `${app}-out`]
    await create(name, out, `${app}-per-minute-changelog`)

    const job = () => {
      const t = topology()
      t.stream(topic(name, json<number>()))
        .groupByKey()
        .windowedBy(tumbling('1m', { grace: 0 }))
        .count({ name: 'per-minute' })
      return t
    }
    await send(name, [['a', 1, 10 * 60_000]])
    await life(taskOf(job()), at(name, 1))
    await send(name, [
      ['a', 1, 60_000],
      ['a', 1, 10 * 60_000 + 1]
    ])
    const elsewhere = mkdtempSync(join(tmpdir(), 'millrace-task-'))
    await life(taskOf(job(), { stateDirectory: elsewhere }), at(name, 3))
    rmSync(elsewhere, { recursive: true, force: true })
    expect(dropped).to.deep.equal(['late'])
  })

  it('drops windows past retention also when one window has more keys than one expiry takes', async () => {
    const name = `${app}-in`
    const changelog = `${app}-per-minute-changelog`
    await create(name, changelog)
    const t = topology()
    t.stream(topic(name, json<number>()))
      .groupByKey()
      .windowedBy(tumbling('1m', { grace: 0 }))
      .count({ name: 'per-minute' })
    await send(
      name,
      Array.from({ length: 21_000 }, (_, i) => [`k${i}`, 1, 0] as [string, number, number])
    )
    let sent = 21_000
    await life(taskOf(t, { cache: { limit: 64 << 20, used: 0 } }), async () => {
      if (!at(name, sent)()) return false
      await send(name, [['k', 1, 10 * 86_400_000]])
      sent++
      const end = await transport.offsets([{ topic: changelog, partition: 0 }], 'lso')
      return end.get(`${changelog}-0`)! >= 42_000
    })
  })

  for (const guarantee of ['exactly-once', 'at-least-once'] as const) {
    it(`rebuilds its state after its files are wiped, ${guarantee}`, async () => {
      const name = `${app}-in`
      await create(name, `${app}-counts-changelog`)
      const job = () => {
        const t = topology()
        t.stream(topic(name, json<number>())).groupByKey().count({ name: 'counts' })
        return t
      }
      await send(
        name,
        [1, 2, 3].map((n) => ['a', n, n])
      )
      await life(taskOf(job(), { guarantee }), at(name, 3))
      const wiped = taskOf(job(), { guarantee })
      await wiped.open(signal)
      await wiped.close({ clean: false, wipe: true })

      const restored: number[] = []
      const task = taskOf(job(), {
        guarantee,
        events: { dropped() {}, committed() {}, restored: (_task, { from }) => void restored.push(from) }
      })
      await task.open(signal)
      await task.restore(signal)
      const run = task.run({ ...meta, groupId: app }, signal)
      const value = await task.inspect((store) => (store('counts') as KeyValueStore<string, number>).get('a'))
      expect(value).to.equal(3)
      expect(restored[0]).to.equal(0)
      task.drain()
      await run
      await task.close({ clean: true })
    })
  }
})
