/** Record-level supervision of one task: decides on failures of records by the rules, writes dead letters, parks what waits. */
import { type Headers, NO_HEADERS, StreamRecord, tpKey } from '../record.ts'
import { decideRecord, isRecordFailure, type RecordDecision, rule } from '../supervise/decide.ts'
import { isForRecords, type Rule } from '../supervise/rules.ts'
import type { Random } from '../time.ts'
import { Parked } from '../topology/failure.ts'
import type { FailedRecord, RecordSupervisor } from '../topology/guard.ts'
import type { RecordContext } from '../topology/node.ts'
import { Origin, type OriginalRecord } from '../topology/origin.ts'
import type { Logger } from './port.ts'

export interface SupervisorOptions {
  readonly applicationId: string
  readonly taskId: string
  /** Of the runtime, defaults included: the outermost scope. */
  readonly rules: readonly Rule[]
  readonly random: Random
  readonly logger: Logger
  /** Bytes as they are, to a topic. */
  readonly write: (topic: string, record: OriginalRecord) => void
  readonly dropped: (node: string, at: RecordContext | undefined) => void
  /** The record in hand comes from a queue, and nothing but this failure has come of it: it may come again whole, while others go on. */
  readonly untouched: () => boolean
  readonly wait: (delayMs: number) => Promise<void>
}

/** Runs of a record that was parked, by node. */
interface Runs {
  readonly at: string
  readonly byNode: Map<string, number>
}

export class Supervisor implements RecordSupervisor {
  readonly everywhere: boolean
  readonly #o: SupervisorOptions
  readonly #parked = new Map<string, Runs>() // by partition: the record it waits with
  #lastLetter = '' // place and topic: a record that fails at two nodes is one dead letter

  constructor(options: SupervisorOptions) {
    this.#o = options
    this.everywhere = options.rules.some(isForRecords)
  }

  judge(failed: FailedRecord): number | undefined {
    const { node, source } = failed
    const attempt = failed.attempt + this.#runsBefore(node, source)
    const delayMs = this.#judge({ ...failed, attempt })
    if (delayMs === undefined || source === undefined || !this.#o.untouched()) return delayMs
    this.#park(node, source, attempt)
    throw new Parked(delayMs)
  }

  #judge(failed: FailedRecord): number | undefined {
    const { node, error, source, scopes, attempt } = failed
    const decision = decideRecord([...scopes, this.#o.rules], error, attempt, this.#o.random)
    this.#tell(failed, decision)
    if (decision.kind === 'fail') {
      rule(error, decision.directive)
      throw error
    }
    if (decision.kind === 'skip') {
      if (decision.to) this.#letter(decision.to.topic, failed)
      this.#o.dropped(node, source)
      return undefined
    }
    return decision.delayMs
  }

  /** For a timestamp extractor. @returns until when the record waits; undefined: it is passed over @throws the error */
  extracting(
    node: string,
    rules: readonly Rule[],
    error: unknown,
    source: RecordContext,
    now: number
  ): number | undefined {
    if (!isRecordFailure(error)) throw error
    const record = new StreamRecord(null, null, -1)
    const failed = { node, scopes: [rules], error, record, source, attempt: 1 + this.#runsBefore(node, source) }
    const delayMs = this.#judge(failed)
    if (delayMs === undefined) return undefined
    this.#park(node, source, failed.attempt)
    return now + delayMs
  }

  putOff({ scopes, error, attempt }: FailedRecord): number | undefined {
    const decision = decideRecord([...scopes, this.#o.rules], error, attempt, this.#o.random)
    return decision.kind === 'retry' && decision.order === 'key' ? decision.delayMs : undefined
  }

  wait(delayMs: number): Promise<void> {
    return this.#o.wait(delayMs)
  }

  #runsBefore(node: string, source: RecordContext | undefined): number {
    if (source === undefined) return 0
    const runs = this.#parked.get(tpKey(source.topic, source.partition))
    return runs?.at === placeOf(source) ? (runs.byNode.get(node) ?? 0) : 0
  }

  #park(node: string, source: RecordContext, attempt: number): void {
    const tp = tpKey(source.topic, source.partition)
    const at = placeOf(source)
    let runs = this.#parked.get(tp)
    if (runs?.at !== at) {
      runs = { at, byNode: new Map() }
      this.#parked.set(tp, runs)
    }
    runs.byNode.set(node, attempt)
  }

  #tell({ node, error, source, attempt }: FailedRecord, decision: RecordDecision): void {
    const { taskId: task, logger } = this.#o
    if (decision.kind === 'fail') return // told as the task's failure
    const facts = { task, node, attempt, ...source, code: error.code, error, decision }
    logger.warn(facts, `A record failed at node "${node}" of task ${task}: ${decision.kind}`)
  }

  #letter(topic: string, failed: FailedRecord): void {
    const { source } = failed
    const letter = source === undefined ? '' : `${placeOf(source)} ${topic}`
    if (letter !== '' && letter === this.#lastLetter) return
    this.#lastLetter = letter
    const original = Origin.original(source)
    const record = original ?? derived(failed)
    const { applicationId, taskId } = this.#o
    const context = contextHeaders({ ...failed, applicationId, taskId, original: original !== undefined })
    this.#o.write(topic, { ...record, headers: [...record.headers, ...context] })
  }
}

const placeOf = ({ topic, partition, offset }: RecordContext): string => `${tpKey(topic, partition)}@${offset}`

/** What has no original, as a timer or the row of a cache: key and value as people read them. */
function derived({ record }: FailedRecord): OriginalRecord {
  return {
    key: readable(() => record.key),
    value: readable(() => record.value),
    timestamp: Math.max(0, record.timestamp),
    headers: record.headers ?? NO_HEADERS
  }
}

function readable(content: () => unknown): Buffer | null {
  try {
    const it = content()
    if (it === null || it === undefined) return null
    return Buffer.isBuffer(it) ? it : Buffer.from(typeof it === 'string' ? it : JSON.stringify(it))
  } catch {
    return null
  }
}

const PREFIX = '__millrace.errors.'

function contextHeaders(of: FailedRecord & { applicationId: string; taskId: string; original: boolean }): Headers {
  const { error, source } = of
  const cause = error.cause instanceof Error ? error.cause : error
  const context: Record<string, unknown> = {
    ...source,
    code: error.code,
    message: error.message,
    stack: cause.stack,
    attempt: of.attempt,
    node: of.node,
    application: of.applicationId,
    task: of.taskId,
    ...(of.original ? {} : { derived: true })
  }
  return Object.entries(context)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [PREFIX + name, Buffer.from(String(value))])
}
