/**
 * Event times of 2001 and of 2040 on a real broker that deletes by event time and compacts every moment. Claims: a topic with default
 * retention loses such records at once (so these specs can fail); repartition, changelog and kept output topics lose none that is needed,
 * also while a task lags; state is rebuilt exactly from compacted changelogs; expired windows leave store and changelog; committed records
 * of repartition topics are purged; segment files do not multiply with the span of event time; settings that would lose records are told.
 */
import { readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import {
  type Clock,
  createRuntime,
  json,
  type MillraceOptions,
  on,
  type RunningRuntime,
  string,
  topic,
  topology,
  tumbling
} from '../../actors/index.ts'
import { changelogConfig, repartitionConfig } from '../../lib/changelog/topics.ts'
import { Cluster } from '../../lib/kafka/cluster.ts'
import { kafkajsWire } from '../../lib/kafka/kafkajs.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { createTransport } from '../../lib/kafka/transport.ts'
import { NO_HEADERS } from '../../lib/record.ts'
import { windowId, windowStart } from '../../lib/store/bytes.ts'
import { nativeDriver } from '../../lib/store/rocksdb/native.ts'
import { openTaskState } from '../../lib/store/taskState.ts'
import { startKafka } from '../../lib/testing/kafka.ts'
import { until } from '../../lib/testing/until.ts'
import { systemClock, systemRandom } from '../../lib/time.ts'
import { stateDirectory } from '../actors/jobKit.ts'
import { readAll, type Seen, uniqueName } from './support.ts'

const DAY = 86_400_000
const FOREVER = '9223372036854775807'
const ANY_TIME = { 'message.timestamp.before.max.ms': FOREVER, 'message.timestamp.after.max.ms': FOREVER }
/** Small files and quick compaction: what happens to a large topic in a month happens here in a second. */
const QUICK = { 'segment.bytes': '1048576', 'min.cleanable.dirty.ratio': '0.01', 'delete.retention.ms': '100' }
const PARTITIONS = 2
const WINDOW = 30 * DAY
const RETENTION = 2 * WINDOW
const FAR = Date.UTC(2100, 0, 1)

interface Sale {
  shop: string
  amount: number
}
interface Total {
  sum: number
  pad: string
}
interface Input {
  time: number
  shop: string
  amount: number
}

const windowOf = ({ time }: Input): number => Math.floor(time / WINDOW) * WINDOW

/** Makes changelogs of some megabytes from a few thousand records, so that there is something to compact. */
const TOTAL_PAD = 'x'.repeat(40_000)
const DAY_PAD = 'x'.repeat(3_000)

/** Sales from one day to another, event times out of order by up to 20 days. */
function sales(from: number, to: number, count: number, seed: number): Input[] {
  let state = seed
  const random = (): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return state / 2_147_483_648
  }
  return Array.from({ length: count }, (_, i) => ({
    time: Math.max(from, Math.floor(from + ((to - from) * i) / count - random() * 20 * DAY)),
    shop: `shop-${Math.floor(random() * 25)}`,
    amount: 1 + Math.floor(random() * 100)
  }))
}

describe('old and far event times on a broker that deletes and compacts', function () {
  this.timeout(120_000)
  let kafka: Awaited<ReturnType<typeof startKafka>>
  let transport: Transport
  let cluster: Cluster
  let state: Awaited<ReturnType<typeof stateDirectory>>
  const id = uniqueName('old')
  const names = {
    in: `${id}-in`,
    twin: `${id}-twin`, // the same records, default retention
    totals: `${id}-out`,
    days: `${id}-out-days`,
    aged: `${id}-aged` // output, default retention
  }
  const repartition = `${id}-by-shop-repartition`
  const totalsLog = `${id}-totals-changelog`
  const daysLog = `${id}-days-changelog`
  const input: Input[] = []
  const warnings: string[] = []
  let open = false // else the task behind the repartition topic fails and is stopped
  let app: RunningRuntime | undefined

  before(async () => {
    kafka = await startKafka({
      own: true,
      ways: ['java', 'docker'], // files are counted, and those of a container cannot be seen
      config: {
        'log.retention.check.interval.ms': '200',
        'log.segment.delete.delay.ms': '100',
        'log.cleaner.backoff.ms': '100',
        'log.cleaner.min.cleanable.ratio': '0.01'
      }
    })
    const wire = kafkajsWire({ brokers: kafka.brokers })
    transport = createTransport(wire, { clock: systemClock, random: systemRandom })
    cluster = new Cluster(kafkajsWire({ brokers: kafka.brokers }), { clock: systemClock, random: systemRandom })
    state = await stateDirectory()
    const keep = { ...ANY_TIME, 'retention.ms': '-1', 'segment.bytes': '1048576' }
    await transport.admin.create([
      { topic: names.in, partitions: 1, replication: -1, config: keep },
      { topic: names.totals, partitions: PARTITIONS, replication: -1, config: keep },
      { topic: names.days, partitions: PARTITIONS, replication: -1, config: keep },
      { topic: names.aged, partitions: PARTITIONS, replication: -1, config: ANY_TIME },
      { topic: names.twin, partitions: 1, replication: -1, config: ANY_TIME }
    ])
  })
  afterEach(async function () {
    // After a failure what follows would only wait for what cannot come.
    if (this.currentTest?.state === 'failed') await app?.kill().catch(() => {})
  })
  after(async () => {
    await app?.kill().catch(() => {})
    await cluster?.wire.close()
    await transport?.close()
    await kafka?.stop()
    await state?.remove()
  })

  const job = () => {
    const t = topology()
    const add = (pad: string) => (total: Total, sale: Sale) => ({ sum: total.sum + sale.amount, pad })
    const empty = (): Total => ({ sum: 0, pad: '' })
    const shops = t
      .stream(topic(names.in, json<Sale>()))
      .selectKey(({ value }) => value.shop, { key: string() })
      .repartition({ name: 'by-shop', partitions: PARTITIONS, value: json<Sale>() })
    const totals = shops
      .filter(() => {
        if (!open) throw new Error('closed for now')
        return true
      })
      .groupByKey()
      .aggregate(empty, add(TOTAL_PAD), { name: 'totals', caching: false, topicConfig: QUICK })
      .toStream()
      .mapValues((total) => total?.sum ?? 0, { value: json<number>() })
    totals.to(topic(names.totals, json<number>()))
    totals.to(topic(names.aged, json<number>()))
    shops
      .groupByKey()
      .windowedBy(tumbling(WINDOW, { grace: WINDOW }))
      .aggregate(empty, add(DAY_PAD), { name: 'days', caching: false, topicConfig: QUICK })
      .toStream(({ key }) => `${key.key} ${key.start}`, { key: string() })
      .mapValues((total) => total?.sum ?? 0, { value: json<number>() })
      .to(topic(names.days, json<number>()))
    return t
  }

  const start = async (more: Partial<MillraceOptions> = {}): Promise<RunningRuntime> => {
    app = await createRuntime({
      id,
      topology: job(),
      kafka: { brokers: kafka.brokers },
      stateDir: join(state.path, 'a'),
      guarantee: 'exactly-once',
      heartbeatInterval: 100,
      clock: hasty,
      supervise: { rules: [on((error) => `${(error as Error).cause ?? error}`.includes('closed for now')).stop()] },
      logger: { debug() {}, info() {}, warn: (_facts, line) => warnings.push(`${line}`), error() {} },
      ...more
    }).run({ signals: false })
    return app
  }
  /** Purges come every half second, not every half minute. */
  const hasty: Clock = {
    ...systemClock,
    now: () => systemClock.now(),
    setTimeout: (fn, ms) => systemClock.setTimeout(fn, ms === 30_000 ? 500 : ms),
    clearTimeout: (timer) => systemClock.clearTimeout(timer)
  }

  const publish = async (more: Input[]): Promise<void> => {
    const producer = await transport.producer({ lane: 9 })
    for (const { time, shop, amount } of more) {
      const key = Buffer.from(`sale-${input.length}`)
      const value = Buffer.from(JSON.stringify({ shop, amount } satisfies Sale))
      input.push({ time, shop, amount })
      for (const name of [names.in, names.twin])
        producer.writer(name, 0).append(time, key, 0, key.length, value, 0, value.length, NO_HEADERS)
    }
    await producer.flush()
    await producer.close()
  }
  const bound = async (name: string, partitions: number, at: 'start' | 'lso' | 'hw'): Promise<number> => {
    const tps = Array.from({ length: partitions }, (_, partition) => ({ topic: name, partition }))
    return [...(await transport.offsets(tps, at)).values()].reduce((sum, offset) => sum + offset, 0)
  }
  const read = async (name: string, partitions: number): Promise<Seen[]> => {
    const all: Seen[] = []
    for (let p = 0; p < partitions; p++) {
      const start = (await transport.offsets([{ topic: name, partition: p }], 'start')).get(`${name}-${p}`)!
      all.push(...(await readAll(cluster.wire, await cluster.leader(name, p), name, p, 'committed', start, 'latin1')))
    }
    return all
  }
  const latest = async (name: string): Promise<Map<string, { sum: number; time: number }>> => {
    const rows = new Map<string, { sum: number; time: number }>()
    for (const { key, value, timestamp } of await read(name, PARTITIONS)) {
      rows.set(key!, { sum: Number(value), time: timestamp })
    }
    return rows
  }
  /** Sum and highest event time by key, by a plain loop. */
  const expected = (keyOf: (sale: Input) => string): Map<string, { sum: number; time: number }> => {
    const rows = new Map<string, { sum: number; time: number }>()
    for (const sale of input) {
      const row = rows.get(keyOf(sale)) ?? { sum: 0, time: -1 }
      rows.set(keyOf(sale), { sum: row.sum + sale.amount, time: Math.max(row.time, sale.time) })
    }
    return rows
  }
  const sorted = (rows: Map<string, unknown>): [string, unknown][] => [...rows].sort(([a], [b]) => (a < b ? -1 : 1))
  /** Output stands for every input, and the sums and times are exact. */
  const exact = async (): Promise<void> => {
    await committedTo(repartition, PARTITIONS)
    for (const name of [names.totals, names.days]) await settled(name)
    expect(sorted(await latest(names.totals))).to.eql(sorted(expected(({ shop }) => shop)))
    expect(sorted(await latest(names.days))).to.eql(sorted(expected((sale) => `${sale.shop} ${windowOf(sale)}`)))
  }
  /** The job has committed everything that its input and then this topic hold. */
  const committedTo = async (name: string, partitions: number): Promise<void> => {
    for (const [topicName, count] of [
      [names.in, 1],
      [name, partitions]
    ] as const) {
      const tps = Array.from({ length: count }, (_, partition) => ({ topic: topicName, partition }))
      await until(
        async () => {
          const ends = await transport.offsets(tps, 'lso')
          const high = await transport.offsets(tps, 'hw')
          const done = await transport.committed(id, tps)
          return [...ends].every(([tp, end]) => high.get(tp) === end && (done.get(tp)?.offset ?? 0) >= end)
        },
        { what: () => `${topicName} is processed`, timeoutMs: 30_000 }
      )
    }
  }
  /** A commit is answered before its markers are written; until they are, committed readers do not see its records. */
  const settled = (name: string): Promise<unknown> =>
    until(async () => (await bound(name, PARTITIONS, 'lso')) === (await bound(name, PARTITIONS, 'hw')), {
      what: `the last transactions in ${name} are settled`
    })
  /** Two whole rounds of the broker's deletion: each takes away a record that was written before it. */
  const retentionActs = async (): Promise<void> => {
    const canary = uniqueName('canary')
    await transport.admin.create([{ topic: canary, partitions: 1, replication: -1, config: ANY_TIME }])
    const producer = await transport.producer({ lane: 8 })
    for (let round = 1; round <= 2; round++) {
      const value = Buffer.from('old')
      producer.writer(canary, 0).append(Date.UTC(2001, 0, 1), null, 0, 0, value, 0, value.length, NO_HEADERS)
      await producer.flush()
      await until(async () => (await bound(canary, 1, 'start')) === round, { what: 'the broker deletes by time' })
    }
    await producer.close()
  }
  /** The cleaner has nothing left to do with a changelog: its records stay the same over two rounds. */
  const compacted = async (name: string): Promise<Seen[]> => {
    let before = -1
    let same = 0
    return until(
      async () => {
        const seen = await read(name, PARTITIONS)
        same = seen.length === before ? same + 1 : 0
        before = seen.length
        return same >= 4 ? seen : undefined
      },
      { what: 'the cleaner is done', everyMs: 200, timeoutMs: 30_000 }
    )
  }

  it('a task that stands still while the broker deletes by age finds every record of its repartition topic', async () => {
    await publish(sales(Date.UTC(2001, 0, 1), Date.UTC(2006, 0, 1), 2_500, 1))
    // At least once: no markers of transactions, which would carry the broker's time and keep their segments.
    await start({ guarantee: 'at-least-once' })
    await until(() => Object.values(app!.tasks).filter((task) => task.state === 'stopped').length === PARTITIONS, {
      what: () => `both tasks behind the repartition topic stand still: ${JSON.stringify(app!.tasks)}`
    })
    await committedTo(names.in, 1)
    await retentionActs()
    expect(await read(repartition, PARTITIONS)).to.have.length(input.length)
    await app!.kill()
    open = true
    await start()
    await exact()
  })

  it('warns of the output topic that deletes by age, and of no other', () => {
    const told = warnings.filter((line) => line.includes('deletes records'))
    expect(told.length).to.be.at.least(1)
    for (const line of told) expect(line).to.match(new RegExp(`"${names.aged}".*168 h.*retention.ms=-1`))
  })

  it('default retention deletes the same records; output with retention.ms=-1 stays whole', async () => {
    await until(async () => (await bound(names.twin, 1, 'start')) === input.length, { what: 'the twin is empty' })
    // Markers of transactions carry the broker's time and keep their segment: only what lies before the first one goes at once.
    await until(async () => (await bound(names.aged, PARTITIONS, 'start')) > 0, { what: 'output is deleted by age' })
    expect(await read(names.aged, PARTITIONS)).to.have.length.below(input.length)
    expect(await read(names.totals, PARTITIONS)).to.have.length(input.length)
  })

  it('purges what was committed from the repartition topic', async () => {
    await until(async () => (await bound(repartition, PARTITIONS, 'start')) >= input.length, { what: 'the purge' })
    expect(await read(repartition, PARTITIONS)).to.eql([])
  })

  it('expired windows leave the changelog, which does not grow with the time that passes', async () => {
    for (const year of [2006, 2011]) {
      // In several commits, however fast the job is: a changelog that was written once has nothing to compact.
      for (let y = year; y < year + 5; y++) {
        await publish(sales(Date.UTC(y, 0, 1), Date.UTC(y + 1, 0, 1), 500, y))
        await exact()
      }
      const left = await compacted(daysLog)
      const newest = Math.max(...input.map(({ time }) => time))
      const starts = openStarts(left)
      // Expiry works in steps of a window.
      for (const from of starts) expect(from).to.be.above(newest - RETENTION - 2 * WINDOW)
      expect(starts.length).to.be.above(20)
      const windows = expected((sale) => `${sale.shop} ${windowOf(sale)}`).size
      const buried = left.filter(({ value }) => value === null).length
      // What the cleaner has not come to yet: two segments of each partition, whatever the time that has passed.
      const segment = Number(QUICK['segment.bytes']) / DAY_PAD.length
      expect(left.length - buried, 'rows').to.be.below(starts.length + PARTITIONS * 2 * segment)
      if (year === 2011) expect(buried, 'tombstones').to.be.below(0.8 * (windows - starts.length))
    }
  })

  it('expired windows leave the store', async () => {
    await app!.drain()
    const newest = Math.max(...input.map(({ time }) => time))
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const plan = job()
        .build(id)
        .subtopologies.find((sub) => sub.stores.length > 0)!
      const opened = await openTaskState({
        directory: join(state.path, 'a', `${plan.id}_${partition}`),
        applicationId: id,
        taskId: `${plan.id}_${partition}`,
        driver: nativeDriver,
        specs: plan.stores,
        cache: { limit: 1 << 20, used: 0 },
        clock: systemClock
      })
      const starts: number[] = []
      for await (const { id: row } of opened.store('days').scan({ from: windowId(0, ''), to: windowId(FAR, '') }))
        starts.push(windowStart(row))
      await opened.close()
      expect(starts.length).to.be.within(5, 100)
      for (const from of starts) expect(from).to.be.above(newest - RETENTION - 2 * WINDOW)
    }
  })

  it('a lost state directory: figures and times go on exactly from the compacted changelogs', async () => {
    await retentionActs()
    const rows = await compacted(totalsLog)
    expect(rows.length).to.be.below((await bound(totalsLog, PARTITIONS, 'hw')) / 2)
    await rm(join(state.path, 'a'), { recursive: true })
    // Older than what is there: a row whose time was not restored would take theirs.
    await publish(sales(Date.UTC(2015, 11, 1), Date.UTC(2015, 11, 28), 300, 2))
    await start()
    await exact()
  })

  it('far future: sales of 2040 after those of 2001 to 2015, and again from the changelogs alone', async () => {
    await publish(sales(Date.UTC(2040, 0, 1), Date.UTC(2042, 0, 1), 1_000, 3))
    await exact()
    await retentionActs()
    await app!.kill()
    await rm(join(state.path, 'a'), { recursive: true })
    await publish(sales(Date.UTC(2041, 11, 1), Date.UTC(2041, 11, 28), 300, 4))
    await start()
    await exact()
    await app!.drain()
    const starts = openStarts(await compacted(daysLog))
    expect(Math.min(...starts)).to.be.above(Date.UTC(2041, 5, 1))
  })

  it('a broker that refuses event times of the future: the job fails with the topic and the setting', async () => {
    const refusing = uniqueName('refusing')
    await transport.admin.create([
      { topic: `${refusing}-in`, partitions: 1, replication: -1, config: { ...ANY_TIME, 'retention.ms': '-1' } },
      {
        topic: `${refusing}-out`,
        partitions: 1,
        replication: -1,
        config: { 'message.timestamp.after.max.ms': '3600000' }
      }
    ])
    const t = topology()
    t.stream(topic(`${refusing}-in`, json())).to(topic(`${refusing}-out`, json()))
    const producer = await transport.producer({ lane: 7 })
    const value = Buffer.from('1')
    producer.writer(`${refusing}-in`, 0).append(Date.UTC(2040, 0, 1), null, 0, 0, value, 0, 1, NO_HEADERS)
    await producer.flush()
    await producer.close()
    const runtime = await start({ id: refusing, topology: t, stateDir: join(state.path, 'b') })
    const error = await runtime.stopped.then(
      () => undefined,
      (cause: Error) => cause
    )
    expect(error?.message).to.match(/message.timestamp.after.max.ms/)
    expect(error?.message).to.include(`${refusing}-out`)
  })

  it('segment files do not multiply with the span of event time, as they do with the default segment.ms', async function () {
    const { dataDir } = kafka.nodes![0]!
    if (dataDir === undefined) {
      console.log('      skipped: the files of a broker in a container cannot be counted from here (needs Java 17)')
      this.skip()
    }
    const files = (name: string): number =>
      readdirSync(join(dataDir, `${name}-0`)).filter((file) => file.endsWith('.log')).length
    const topics = {
      [uniqueName('repartition')]: repartitionConfig(),
      [uniqueName('changelog')]: changelogConfig({}),
      [uniqueName('default')]: { ...repartitionConfig(), 'segment.ms': String(7 * DAY) }
    }
    const counts: number[] = []
    for (const [name, config] of Object.entries(topics)) {
      await transport.admin.create([{ topic: name, partitions: 1, replication: -1, config }])
      const producer = await transport.producer({ lane: 6 })
      const value = Buffer.from('v')
      // A fortnight apart over four years, and each time a late one.
      for (let i = 0; i < 100; i++) {
        for (const time of [Date.UTC(2001, 0, 1) + i * 14 * DAY, Date.UTC(2001, 0, 1) + i * 13 * DAY]) {
          producer.writer(name, 0).append(time, value, 0, 1, value, 0, 1, NO_HEADERS)
          await producer.flush()
        }
      }
      await producer.close()
      counts.push(files(name))
    }
    expect(counts).to.eql([1, 1, 100])
    for (const name of [repartition, totalsLog, daysLog]) expect(files(name), name).to.be.below(40)
  })
})

/** Window starts of the rows that a changelog has now. */
function openStarts(log: readonly Seen[]): number[] {
  const rows = new Map<string, boolean>()
  for (const { key, value } of log) rows.set(key!, value !== null)
  return [...rows].filter(([, live]) => live).map(([key]) => windowStart(key))
}
