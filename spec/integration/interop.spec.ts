/**
 * Together with the JVM on one Kafka: Kafka's own deserialisers read our windowed keys, its Streams joins topics of its own with what we
 * repartitioned, and we read the windowed keys that it writes.
 */
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import {
  createRuntime,
  int,
  json,
  long,
  nullable,
  type RunningRuntime,
  type Serde,
  session,
  sessionWindowed,
  string,
  type Table,
  type TopologyBuilder,
  topic,
  topology,
  tumbling,
  type Windowed,
  windowed
} from '../../actors/index.ts'
import { kafkajsWire } from '../../lib/kafka/kafkajs.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { createTransport } from '../../lib/kafka/transport.ts'
import { until } from '../../lib/testing/until.ts'
import { systemClock, systemRandom } from '../../lib/time.ts'
import { createTopics, publish, stateDirectory, Watcher } from '../actors/jobKit.ts'
import { type JavaProcess, startJava } from '../interop/jvm.ts'
import { broker, uniqueName } from './support.ts'

const PROGRAM = fileURLToPath(new URL('./Interop.java', import.meta.url))
const SIZE = 60_000
const GAP = 30_000
const PARTITIONS = 5
const WORDS = ['ant', 'bee', 'cat', 'dog', 'Grüße', '蜂', '🦋', 'x'.repeat(300)]

/** A record as Java's deserialisers read it. */
interface JavaRecord<V> {
  readonly partition: number
  /** Where Kafka Streams would have put it. */
  readonly expected: number
  /** Java's serialiser gives the same bytes for the key. */
  readonly sameBytes: boolean
  readonly key: unknown
  readonly start?: number
  readonly end?: number
  readonly value: V | null
  readonly timestamp: number
}

/** Some records of each word with times that lie within one day: [word, time]. */
const events = (): [string, number][] =>
  Array.from({ length: 400 }, (_, i) => [WORDS[(i * 5) % WORDS.length]!, i * 4_000 + ((i * 7_919) % 90_000)])

const rowKey = (key: unknown, start: number, end: number): string => `${key}@${start}-${end}`

/** What must come out in the end: records per window, and per session. */
function model(all: readonly (readonly [string, number])[]): {
  time: Record<string, number>
  session: Record<string, number>
} {
  const time: Record<string, number> = {}
  const sessions: Record<string, number> = {}
  for (const word of WORDS) {
    const times = all.filter(([w]) => w === word).map(([, t]) => t)
    for (const t of times) {
      const start = t - (t % SIZE)
      const id = rowKey(word, start, start + SIZE)
      time[id] = (time[id] ?? 0) + 1
    }
    let open: number[] = []
    for (const t of [...times.sort((a, b) => a - b), Number.POSITIVE_INFINITY]) {
      if (open.length > 0 && t - open[open.length - 1]! > GAP) {
        sessions[rowKey(word, open[0]!, open[open.length - 1]!)] = open.length
        open = []
      }
      open.push(t)
    }
  }
  return { time, session: sessions }
}

describe('interoperation with the JVM', function () {
  this.timeout(180_000)
  let brokers: string[]
  let transport: Transport
  let state: Awaited<ReturnType<typeof stateDirectory>>
  let java: JavaProcess | undefined
  const running: RunningRuntime[] = []
  const watchers: Watcher[] = []

  before(async function () {
    java = await startJava(PROGRAM, (line) => console.log(`      ${line}`)).catch((error: Error) => {
      console.log(`      skipped: ${error.message}`)
      return undefined
    })
    if (java === undefined) this.skip()
    brokers = (await broker()).brokers
    transport = createTransport(kafkajsWire({ brokers }), { clock: systemClock, random: systemRandom })
    state = await stateDirectory()
  })
  afterEach(async () => {
    for (const runtime of running.splice(0)) await runtime.kill().catch(() => {})
    for (const watcher of watchers.splice(0)) await watcher.close()
  })
  after(async () => {
    await java?.close()
    await transport?.close()
    await state?.remove()
  })

  const ask = async <T>(question: Record<string, unknown>): Promise<T> => {
    const answer = await java!.ask<T & { error?: string }>({
      ...question,
      brokers: brokers.join(','),
      stateDir: `${state.path}/java`
    })
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer
  }
  const read = async <V>(
    name: string,
    key: string,
    value: string,
    windows?: 'session' | number
  ): Promise<JavaRecord<V>[]> =>
    (await ask<{ records: JavaRecord<V>[] }>({ op: 'read', topic: name, key, value, windows })).records
  const run = async (id: string, t: TopologyBuilder, more: object = {}): Promise<RunningRuntime> => {
    const options = {
      id,
      topology: t,
      kafka: { brokers },
      stateDir: `${state.path}/${id}`,
      commitInterval: 100,
      ...more
    }
    const runtime = await createRuntime(options).run({ signals: false })
    running.push(runtime)
    return runtime
  }
  const watch = async (name: string): Promise<Watcher> => {
    const watcher = await new Watcher(transport, name).start()
    watchers.push(watcher)
    return watcher
  }
  /** The last value of each window, deletions taken off. */
  const rows = (records: readonly JavaRecord<number>[]): Record<string, number> => {
    const latest: Record<string, number> = {}
    for (const { key, start, end, value } of records) {
      const id = rowKey(key, start!, end!)
      if (value === null) delete latest[id]
      else latest[id] = value
    }
    return latest
  }
  const expectPlaces = (records: readonly JavaRecord<unknown>[]): void => {
    expect(records.filter((r) => r.partition !== r.expected)).to.deep.equal([])
    expect(records.filter((r) => !r.sameBytes)).to.deep.equal([])
    expect(new Set(records.map((r) => r.partition)).size, 'partitions with records').to.be.above(2)
  }

  it("Kafka's deserialisers read our windows and sessions, which lie where Kafka Streams would put them", async () => {
    const id = uniqueName('windows')
    const [input, time, sessions] = [`${id}-in`, `${id}-time`, `${id}-session`]
    await createTopics(transport, { [input]: 3, [time]: PARTITIONS, [sessions]: PARTITIONS })
    const t = topology()
    const words = t.stream(topic(input, { value: json<number>(), timestamp: (r) => r.value }))
    const grouped = words.groupByKey()
    const kept = { grace: '1d' } as const
    grouped
      .windowedBy(tumbling(SIZE, kept))
      .count({ name: 'per-minute' })
      .toStream()
      .to(topic(time, { key: windowed(string(), SIZE), value: long() }))
    grouped
      .windowedBy(session(GAP, kept))
      .count({ name: 'in-a-row' })
      .toStream()
      .to(topic(sessions, { key: sessionWindowed(string()), value: long() }))
    await publish(
      transport,
      input,
      events().map(([word, at]) => [word, `${at}`])
    )
    const runtime = await run(id, t, { guarantee: 'exactly-once' })
    const expected = model(events())
    let seen: JavaRecord<number>[] = []
    await until(
      async () => {
        seen = await read<number>(time, 'string', 'long', SIZE)
        return seen.length > 0 && sum(rows(seen)) === events().length
      },
      { timeoutMs: 60_000, everyMs: 200, what: () => `Java reads ${sum(rows(seen))} of ${events().length}` }
    )
    await runtime.drain()
    expect(rows(await read(time, 'string', 'long', SIZE))).to.deep.equal(expected.time)
    const inSessions = await read<number>(sessions, 'string', 'long', 'session')
    expect(rows(inSessions)).to.deep.equal(expected.session)
    expect(inSessions.filter((r) => r.timestamp !== r.end)).to.deep.equal([])
    expectPlaces(seen)
    expectPlaces(inSessions)
  })

  it("Kafka's deserialiser of changelogs reads what we write for it", async () => {
    const id = uniqueName('changelog')
    const [input, output] = [`${id}-in`, `${id}-out`]
    await createTopics(transport, { [input]: 3, [output]: PARTITIONS })
    const t = topology()
    t.stream(topic(input, { value: json<number>(), timestamp: (r) => r.value }))
      .groupByKey()
      .windowedBy(tumbling(SIZE, { grace: '1d' }))
      .count({ name: 'per-minute' })
      .toStream()
      .to(topic(output, { key: windowed(string(), SIZE, { changelog: true }), value: long() }))
    await publish(
      transport,
      input,
      events().map(([word, at]) => [word, `${at}`])
    )
    const runtime = await run(id, t)
    const expected = model(events()).time
    const changelog = async (): Promise<JavaRecord<number>[]> =>
      (
        await ask<{ records: JavaRecord<number>[] }>({
          op: 'read',
          topic: output,
          key: 'string',
          value: 'long',
          windows: SIZE,
          changelog: true
        })
      ).records
    await until(async () => sum(rows(await changelog())) === events().length, { timeoutMs: 60_000, everyMs: 200 })
    await runtime.drain()
    expect(rows(await changelog())).to.deep.equal(expected)
  })

  it('Kafka Streams joins topics of its own with what we repartitioned by string, long, int and JSON keys: all pairs', async () => {
    const id = uniqueName('repartitioned')
    const [input, out] = [`${id}-in`, `${id}-out`]
    const count = 300
    const keys: Record<string, { of: (i: number) => unknown; serde: Serde<never> }> = {
      string: { of: (i) => `${WORDS[i % WORDS.length]}-${i % 60}`, serde: string() as Serde<never> },
      long: { of: (i) => ((i % 60) - 30) * 2 ** 40, serde: long() as Serde<never> },
      int: { of: (i) => ((i % 60) - 30) * 7_919, serde: int() as Serde<never> },
      json: { of: (i) => ({ id: i % 60, name: WORDS[i % WORDS.length] }), serde: json() as Serde<never> }
    }
    const own = (kind: string): string => `${id}-own-${kind}`
    const ours = (kind: string): string => `${id}-by-${kind}-repartition`
    await createTopics(transport, {
      [input]: 3,
      [out]: 1,
      ...Object.fromEntries(Object.keys(keys).map((kind) => [own(kind), PARTITIONS]))
    })
    const t = topology()
    const numbers = t.stream(topic(input, { value: json<number>() }))
    for (const [kind, { of, serde }] of Object.entries(keys)) {
      numbers
        .mapValues((n) => `r${n}`, { name: `named-${kind}` })
        .selectKey((r) => of(Number(r.value.slice(1))) as never, { name: `keyed-${kind}` })
        .repartition({ name: `by-${kind}`, partitions: PARTITIONS, key: serde, value: string() })
        .foreach(() => {})
    }
    await publish(
      transport,
      input,
      Array.from({ length: count }, (_, i): [string, string] => [`k${i}`, `${i}`])
    )
    // Without a commit nothing is deleted from a repartition topic, however slow the machine.
    await run(id, t, { commitInterval: '1h' })
    const pairs: string[] = []
    for (const [kind, { of }] of Object.entries(keys)) {
      const records = Array.from({ length: 60 }, (_, i) => [of(i), `l${i}`, i])
      await ask({ op: 'write', topic: own(kind), key: kind, records })
      for (let l = 0; l < 60; l++) {
        for (let r = 0; r < count; r++) {
          if (JSON.stringify(of(l)) === JSON.stringify(of(r))) pairs.push(`${kind}:l${l}/r${r}`)
        }
      }
    }
    const kinds = Object.keys(keys).map((kind) => ({ key: kind, left: own(kind), right: ours(kind) }))
    const results = await watch(out)
    expect(await ask({ op: 'join', id: `${id}-java`, pairs: kinds, out })).to.deep.equal({ state: 'RUNNING' })
    await until(() => results.seen.length >= pairs.length, {
      timeoutMs: 60_000,
      what: () => `${results.seen.length} of ${pairs.length} pairs`
    })
    await results.toEnd()
    expect(results.seen.map((r) => r.value).sort()).to.deep.equal(pairs.sort())
    for (const kind of Object.keys(keys)) {
      const records = await read<string>(ours(kind), kind, 'string')
      expect(records).to.have.length(count)
      expectPlaces(records)
    }
  })

  it('we read the windows and sessions that Kafka Streams writes, and go on with them', async () => {
    const id = uniqueName('from-java')
    const names = ['in', 'time', 'session', 'seen', 'totals']
    const [input, time, sessions, seen, totals] = names.map((name) => `${id}-${name}`) as [
      string,
      string,
      string,
      string,
      string
    ]
    await createTopics(transport, Object.fromEntries(names.map((name) => [`${id}-${name}`, PARTITIONS])))
    await ask({ op: 'write', topic: input, key: 'string', records: events().map(([word, at]) => [word, 'x', at]) })
    await ask({ op: 'windows', id: `${id}-java`, in: input, time, session: sessions, size: SIZE, gap: GAP })
    const t = topology()
    const minutes: Table<Windowed<string>, number> = t.table(
      topic(time, { key: windowed(string(), SIZE), value: long() }),
      { name: 'minutes' }
    )
    const spans: Table<Windowed<string>, number> = t.table(
      topic(sessions, { key: sessionWindowed(string()), value: long() }),
      { name: 'spans' }
    )
    const text = topic(seen, string())
    const totalsTopic = topic(totals, string())
    for (const [kind, table] of [
      ['time', minutes],
      ['session', spans]
    ] as const) {
      table
        .toStream()
        .map((r) => ({ key: `${kind} ${rowKey(r.key.key, r.key.start, r.key.end)}`, value: `${r.value ?? 0}` }), {
          name: `${kind}-text`
        })
        .to(text, { name: `${kind}-seen` })
      table
        .groupBy((count, w: Windowed<string>) => [w.key, count], {
          key: string(),
          value: long(),
          name: `${kind}-by-word`
        })
        .aggregate(
          () => 0,
          (sum, count) => sum + count,
          (sum, count) => sum - count,
          { name: `${kind}-total`, value: long() }
        )
        .toStream()
        .map((r) => ({ key: `${kind} ${r.key}`, value: `${r.value}` }), { name: `${kind}-total-text` })
        .to(totalsTopic, { name: `${kind}-to-totals` })
    }
    // Its changelogs hold the same rows; those of windows have keys of another form.
    const logs = {
      'time-log': topic(`${id}-java-per-minute-changelog`, {
        key: windowed(string(), SIZE, { changelog: true }),
        value: nullable(long())
      }),
      'session-log': topic(`${id}-java-in-a-row-changelog`, { key: sessionWindowed(string()), value: nullable(long()) })
    }
    for (const [kind, log] of Object.entries(logs)) {
      t.stream(log)
        .map((r) => ({ key: `${kind} ${rowKey(r.key.key, r.key.start, r.key.end)}`, value: `${r.value ?? 0}` }), {
          name: `${kind}-text`
        })
        .to(text, { name: `${kind}-seen` })
    }
    const [rowsSeen, totalsSeen] = [await watch(seen), await watch(totals)]
    await run(id, t)
    const expected = model(events())
    const wanted: Record<string, number> = {}
    for (const kind of ['time', 'session'] as const) {
      for (const [row, count] of Object.entries(expected[kind])) {
        wanted[`${kind} ${row}`] = count
        wanted[`${kind}-log ${row}`] = count
      }
    }
    const rowsNow = (): Record<string, number> =>
      Object.fromEntries(Object.entries(rowsSeen.latest()).filter(([, count]) => count > 0))
    const sorted = (of: Record<string, number>): string => JSON.stringify(Object.entries(of).sort())
    await until(() => sorted(rowsNow()) === sorted(wanted), {
      timeoutMs: 60_000,
      what: () => `${Object.keys(rowsNow()).length} of ${Object.keys(wanted).length} windows`
    }).catch(() => {})
    expect(rowsNow()).to.deep.equal(wanted)
    const words: Record<string, number> = {}
    for (const [word] of events())
      for (const kind of ['time', 'session']) words[`${kind} ${word}`] = (words[`${kind} ${word}`] ?? 0) + 1
    await until(() => sorted(totalsSeen.latest()) === sorted(words), { timeoutMs: 20_000 }).catch(() => {})
    expect(totalsSeen.latest()).to.deep.equal(words)
  })
})

const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((a, b) => a + b, 0)
