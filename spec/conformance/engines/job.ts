/**
 * Cases in a whole runtime: many in one topology, each on topics of its own, fed in rounds. A round gives each case its next input and
 * ends when every source and repartition topic is committed to its end, so that what came out since belongs to that input.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createRuntime,
  on,
  type RunningRuntime,
  type Transport,
  TransportError,
  topology
} from '../../../actors/index.ts'
import { partitionFor } from '../../../lib/kafka/partitioner.ts'
import type { Producer, Reader } from '../../../lib/kafka/port.ts'
import { type Serde, type Tp, tpKey } from '../../../lib/record.ts'
import { until } from '../../../lib/testing/until.ts'
import { delay, systemClock } from '../../../lib/time.ts'
import type { BuiltTopology } from '../../../lib/topology/built.ts'
import { resolvePartitions } from '../../../lib/topology/partitions.ts'
import { CaseBuilder, KEY, NotBuilt, VALUE } from '../build.ts'
import { type Actual, actual, type Outcome } from '../compare.ts'
import type { Any, Case, CaseInput } from '../format.ts'
import { CaseClock } from './caseClock.ts'
import { allowsCache, type Result } from './engine.ts'

export interface JobOptions {
  readonly transport: Transport
  /** In front of every name: topics and groups that no other run has. */
  readonly prefix: string
  /** Told after each round. */
  readonly log?: (line: string) => void
}

/** One case within the job. */
class Part {
  readonly steps: Actual[][] = [[]]
  error: unknown
  notBuilt: string | undefined
  /** Source and repartition partitions; internal ones are known when the job is built. */
  tps: Tp[] = []
  outTps: Tp[] = []
  readonly c: Case
  readonly id: string
  readonly builder: CaseBuilder
  outKey: Serde<Any> = KEY

  constructor(c: Case, id: string) {
    this.c = c
    this.id = id
    this.builder = new CaseBuilder(topology(), { prefix: id }) // tried alone: half a case must not be left in the job's graph
    try {
      this.builder.build(c.topology)
    } catch (error) {
      if (error instanceof NotBuilt) this.notBuilt = error.message
      else this.error = error
    }
  }

  partitionOf(input: CaseInput): number {
    if (input.partition !== undefined || input.key === null) return input.partition ?? 0
    const key = KEY.encode(input.key)
    return partitionFor(key, 0, key.length, this.builder.topics.get(input.topic)!.partitions)
  }

  tpOf(input: CaseInput): string {
    return tpKey(this.builder.topics.get(input.topic)!.topic.name, this.partitionOf(input))
  }

  get runs(): boolean {
    return this.error === undefined && this.notBuilt === undefined
  }

  get result(): Result {
    if (this.notBuilt !== undefined) return { notBuilt: this.notBuilt }
    const outcome: Outcome = this.error === undefined ? { steps: this.steps } : { steps: this.steps, error: this.error }
    return { outcome }
  }
}

/** Runs the cases: those that can share a runtime in one, the others each in their own. */
export async function runCases(cases: readonly Case[], options: JobOptions): Promise<Result[]> {
  const results = new Map<Case, Result>()
  const shared = cases.filter((c) => !c.buffered && !c.advance)
  const groups = [
    ...[true, false].map((cache) => shared.filter((c) => allowsCache(c) === cache)),
    cases.filter((c) => c.buffered && !c.advance),
    ...cases.filter((c) => c.advance).map((c) => [c])
  ]
  for (const [i, group] of groups.filter((g) => g.length > 0).entries()) {
    const parts = group.map((c, n) => new Part(c, `${options.prefix}-${i}-${n}-`))
    await new Job(parts, `${options.prefix}-${i}`, options).run()
    for (const part of parts) results.set(part.c, part.result)
  }
  return cases.map((c) => results.get(c)!)
}

class Job {
  readonly #parts: readonly Part[]
  readonly #id: string
  readonly #options: JobOptions
  readonly #clock: CaseClock | undefined
  /** Records of global tables by partition: sent to their topics, and in the tables. */
  readonly #sent = new Map<string, number>()
  readonly #applied = new Map<string, number>()
  readonly #next = new Map<string, number>() // of the output reader, by tpKey
  #built!: BuiltTopology
  #app!: RunningRuntime
  #producer!: Producer
  #reader!: Reader

  constructor(parts: readonly Part[], id: string, options: JobOptions) {
    this.#parts = parts.filter((part) => part.runs)
    this.#id = id
    this.#options = options
    if (parts.some((part) => part.c.advance)) this.#clock = new CaseClock()
  }

  async run(): Promise<void> {
    if (this.#parts.length === 0) return
    const { transport } = this.#options
    const stateDir = await mkdtemp(join(tmpdir(), 'millrace-conformance-'))
    try {
      await this.#prepare()
      this.#producer = await transport.producer({ lane: 7 })
      const buffered = this.#parts[0]!.c.buffered === true
      if (buffered) await this.#publishAll()
      await this.#start(stateDir, buffered)
      await this.#settle()
      await this.#collect()
      if (!buffered) await this.#rounds()
    } catch (error) {
      for (const part of this.#parts) part.error ??= error
    } finally {
      await this.#end(stateDir)
    }
  }

  async #prepare(): Promise<void> {
    const cache = allowsCache(this.#parts[0]!.c)
    const t = topology()
    const topics = new Map<string, number>()
    for (const part of this.#parts) {
      const builder = new CaseBuilder(t, { prefix: part.id }).build(part.c.topology)
      for (const { topic, partitions } of builder.topics.values()) topics.set(topic.name, partitions)
    }
    const built = (id: string): BuiltTopology => (cache ? t.build(id) : withoutCaches(t.build(id)))
    this.#built = built(this.#id)
    const outs = this.#parts.map((part) => part.builder.out)
    const specs = [...topics, ...outs.map((out) => [out, 1] as const)]
    // The cases' event times lie in 1970: a broker would delete the records at its next look, half a minute after its start.
    const config = { 'retention.ms': '-1' }
    await this.#options.transport.admin.create(
      specs.map(([topic, partitions]) => ({ topic, partitions, replication: -1, config }))
    )
    this.#name(topics)
    this.#topology = { build: built }
  }
  #topology!: { build(id: string): BuiltTopology }

  /** Which partitions are whose. */
  #name(topics: ReadonlyMap<string, number>): void {
    const resolved = resolvePartitions(this.#built, topics)
    for (const part of this.#parts) {
      part.outTps = [{ topic: part.builder.out, partition: 0 }]
      for (const sub of this.#built.subtopologies) {
        if (!sub.nodes.some((node) => node.name.includes(part.id))) continue
        for (const topic of sub.sourceTopics) {
          // Topics of global tables belong to no task: nothing is committed for them.
          if (hasGlobal(part.c.topology, topic.slice(part.id.length))) continue
          for (let partition = 0; partition < resolved.partitions(topic); partition++)
            part.tps.push({ topic, partition })
        }
        for (const node of sub.nodes)
          if (node.kind === 'sink' && node.topic === part.builder.out) part.outKey = node.key
      }
    }
  }

  async #start(stateDir: string, buffered: boolean): Promise<void> {
    const { transport } = this.#options
    const runtime = createRuntime({
      id: this.#id,
      topology: this.#topology,
      transport,
      stateDir,
      commitInterval: 2,
      ...(buffered ? { maxTaskIdle: 500 } : {}),
      ...(this.#clock ? { clock: this.#clock } : {}),
      probe: (tp, step) => {
        if (step === 'global:applied') this.#applied.set(tp, (this.#applied.get(tp) ?? 0) + 1)
      },
      supervise: { rules: [on(isOfTheCase).stop()], onEscalate: 'stop-task' }
    })
    this.#app = await runtime.run({ signals: false })
    this.#app.on('task.failed', ({ task, error, directive }) => {
      this.#options.log?.(`task ${task} failed (${directive}): ${error.message}`)
      const sub = this.#built.subtopologies[Number(task.split('_')[0])]!
      for (const part of this.#parts) {
        if (sub.nodes.some((node) => node.name.includes(part.id))) part.error ??= new Error(error.message)
      }
    })
    this.#reader = transport.reader({
      isolation: 'committed',
      lane: 'restore',
      maxWaitMs: 20,
      onError: (error, tp) => {
        for (const part of this.#parts) if (!tp || tp.topic === part.builder.out) part.error ??= error
      }
    })
    for (const part of this.#parts) for (const tp of part.outTps) this.#read(part, tp)
  }

  #read(part: Part, tp: Tp): void {
    this.#reader.add(tp, 0, ({ records, next }) => {
      for (let i = 0; i < records.count; i++) {
        const key = records.key(i)
        const value = records.value(i)
        const record = {
          key: key && part.outKey.decode(key, 0, key.length),
          value: value && VALUE.decode(value, 0, value.length),
          timestamp: records.timestamps[i]!,
          headers: records.headers(i)
        }
        part.steps.at(-1)!.push(actual(record, 'out'))
      }
      this.#next.set(tpKey(tp.topic, tp.partition), next)
    })
  }

  async #rounds(): Promise<void> {
    const rounds = Math.max(...this.#parts.map((part) => part.c.inputs.length))
    for (let i = 0; i < rounds; i++) {
      await this.#move(i)
      const fed = this.#alive.filter((part) => i < part.c.inputs.length)
      for (const part of fed) {
        part.steps.push([])
        this.#publish(part, i)
      }
      await this.#producer.flush()
      await this.#settle()
      await this.#known(fed, i)
      await this.#collect()
      if (i % 10 === 9 || i === rounds - 1)
        this.#options.log?.(`${i + 1} of ${rounds} rounds of ${this.#parts.length} cases`)
    }
    await this.#move(rounds)
  }

  /** Until the inputs of this round that go to global tables are there: each is a record of its own, so a batch of its own. */
  async #known(fed: readonly Part[], round: number): Promise<void> {
    for (const part of fed) {
      const { topic } = part.c.inputs[round]!
      if (!hasGlobal(part.c.topology, topic)) continue
      const tp = part.tpOf(part.c.inputs[round]!)
      const wanted = (this.#sent.get(tp) ?? 0) + 1
      this.#sent.set(tp, wanted)
      await until(() => (this.#applied.get(tp) ?? 0) >= wanted, {
        what: `the global table has record ${wanted} of ${tp}`,
        timeoutMs: 30_000,
        everyMs: 1
      })
    }
  }

  /** Wall-clock moves; the one case that has them runs alone. */
  async #move(before: number): Promise<void> {
    if (!this.#clock) return
    for (const part of this.#parts) {
      for (const { beforeInput, ms } of part.c.advance ?? []) {
        if (beforeInput !== before) continue
        this.#clock.advance(ms)
        await delay(systemClock, 20) // the punctuators' turn: nothing tells that none of them is due
        await this.#settle()
        await this.#collect()
      }
    }
  }

  get #alive(): Part[] {
    return this.#parts.filter((part) => part.error === undefined)
  }

  async #publishAll(): Promise<void> {
    for (const part of this.#parts) for (const i of part.c.inputs.keys()) this.#publish(part, i)
    await this.#producer.flush()
  }

  #publish(part: Part, index: number): void {
    const input = part.c.inputs[index]!
    const source = part.builder.topics.get(input.topic)
    if (!source) throw new Error(`The topology of "${part.c.name}" does not read its input topic "${input.topic}"`)
    const key = input.key === null ? null : KEY.encode(input.key)
    const value = input.value === null ? null : VALUE.encode(input.value)
    const headers = Object.entries(input.headers ?? {}).map(([name, text]) => [name, Buffer.from(text)] as const)
    this.#producer
      .writer(source.topic.name, part.partitionOf(input))
      .append(input.ts, key, 0, key?.length ?? 0, value, 0, value?.length ?? 0, headers)
  }

  /**
   * Until every input is committed to its end. The ends are read after the commits: a record in a repartition topic is there before the
   * commit of what caused it.
   */
  async #settle(): Promise<void> {
    const { transport } = this.#options
    let open: string[] = []
    const settled = until(
      async () => {
        if (this.#clock) this.#nudge()
        const tps = this.#alive.flatMap((part) => part.tps)
        const committed = await transport.committed(this.#id, tps)
        const ends = await transport.offsets(tps, 'hw')
        open = [...ends].filter(([tp, end]) => end > 0 && (committed.get(tp)?.offset ?? 0) < end).map(([tp]) => tp)
        return open.length === 0
      },
      { what: () => `${open.join(', ')} is processed to its end`, timeoutMs: 30_000, everyMs: 3 }
    )
    // Whoever is stuck fails; the others go on.
    await settled.catch((error) => {
      for (const part of this.#alive) {
        if (part.tps.some(({ topic, partition }) => open.includes(tpKey(topic, partition)))) part.error = error
      }
    })
    if (this.#paused) this.#nudge()
  }

  /** With a clock that stands still no commit interval passes: a pause commits. Pauses and resumes by turns. */
  #nudge(): void {
    this.#paused = !this.#paused
    if (this.#paused) this.#app.pause()
    else this.#app.resume()
  }
  #paused = false

  /** Until all that is in the output topics was read. */
  async #collect(): Promise<void> {
    const tps = this.#alive.flatMap((part) => part.outTps)
    const ends = await this.#options.transport.offsets(tps, 'lso')
    const failed = (tp: string): boolean => this.#parts.some((part) => part.error && tp === tpKey(part.builder.out, 0))
    await until(() => [...ends].every(([tp, end]) => (this.#next.get(tp) ?? 0) >= end || failed(tp)), {
      what: 'the outputs are read',
      timeoutMs: 30_000,
      everyMs: 3
    })
  }

  async #end(stateDir: string): Promise<void> {
    const { transport } = this.#options
    await this.#reader?.close()
    await this.#producer?.close()
    await this.#app?.kill().catch(() => {})
    const topics = (await transport.admin.topics()).filter((topic) => topic.startsWith(this.#options.prefix))
    await transport.admin.deleteTopics(topics)
    await rm(stateDir, { recursive: true, force: true })
  }
}

/** Faults of the log are mended by the default rules; all others are what the case does. */
function isOfTheCase(error: unknown): boolean {
  return !(error instanceof TransportError)
}

const withoutCaches = (built: BuiltTopology): BuiltTopology => ({
  ...built,
  describe: () => built.describe(),
  subtopologies: built.subtopologies.map((sub) => ({
    ...sub,
    stores: sub.stores.map((spec) => ({ ...spec, caching: false }))
  }))
})

/** Whether the topic is that of a global table. */
function hasGlobal(node: Any, topic: string): boolean {
  if (typeof node !== 'object' || node === null) return false
  if (node.op === 'globalTable') return node.topic === topic
  return [node.in, node.left, node.right].flat().some((child) => hasGlobal(child, topic))
}
