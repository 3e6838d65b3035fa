/** Around a node: records that failed wait in a store until they are due, later ones of their key behind them; the other keys go on. */
import { type Headers, RecordSet, type Serde, StreamRecord } from '../record.ts'
import { bytes } from '../serde/bytes.ts'
import type { CachedRowStore } from '../store/cache/rowStore.ts'
import type { MaybePromise } from '../store/port.ts'
import { isByKey } from '../supervise/rules.ts'
import type { ProcessorDraft, Topology } from '../topology/graph.ts'
import type { Cancellable, Operator, OperatorContext, RecordContext } from '../topology/node.ts'
import { Origin } from '../topology/origin.ts'
import { RowIds } from './rowIds.ts'

export const retriesName = (node: string): string => `${node}-retries`

/** Bytes as base64; a record as it stood on its topic. */
interface Letter {
  readonly key: string | null
  readonly value: string | null
  readonly timestamp: number
  readonly headers: readonly (readonly [string, string | null])[]
}

/** A record that waits: as it came to the node, and as it stood on its topic. */
interface Waiting {
  readonly at: { readonly topic: string; readonly partition: number; readonly offset: number }
  readonly record: Letter
  readonly original: Letter
  /** Runs so far; 0 = it waits behind another of its key. */
  readonly attempt: number
  /** On the clock, ms. */
  readonly due: number
}

export const waitingSerde: Serde<Waiting> = {
  name: 'waiting record',
  encode: (waiting) => Buffer.from(JSON.stringify(waiting)),
  decode: (bytes, start, end) => JSON.parse(bytes.toString('utf8', start, end)) as Waiting
}

/** Records of one key, oldest first; the first of them is due. */
interface Line {
  readonly seqs: number[]
  attempt: number
  due: number
}

/** Records worked off without a break; then others have their turn. */
const MOST = 1_000

/**
 * Owns the store `<node>-retries`. The lines are kept in memory too, some 100 bytes for each record that waits.
 * @example
 * const supervise = [on(TypeError).retry({ times: 10, order: 'key', backoff: exponential('1s', '10m') })]
 * stream.filter(({ value }) => value.delay > 15, { supervise })
 */
export class RetriesOperator implements Operator {
  readonly prefetch?: NonNullable<Operator['prefetch']>
  readonly prefetchByTime?: boolean
  readonly #inner: Operator
  readonly #name: string
  readonly #key: Serde<unknown>
  readonly #value: (topic: string) => Serde<unknown>
  readonly #ids: RowIds<unknown>
  readonly #lines = new Map<string, Line>() // by key, as latin1 text
  #store!: CachedRowStore<Waiting>
  #context!: OperatorContext
  #loaded = false
  #seq = 0
  #timer: Cancellable | undefined
  #armed = Number.POSITIVE_INFINITY // when the timer fires

  /** @param value serde of the values of records that come from a topic */
  constructor(inner: Operator, node: string, key: Serde<unknown>, value: (topic: string) => Serde<unknown>) {
    this.#inner = inner
    this.#name = retriesName(node)
    this.#key = key
    this.#value = value
    this.#ids = new RowIds(key)
    if (inner.prefetch) this.prefetch = (set, from, to, serde) => inner.prefetch!(set, from, to, serde)
    if (inner.prefetchByTime) this.prefetchByTime = true
  }

  init(context: OperatorContext): void {
    this.#context = context
    this.#store = context.store(this.#name) as unknown as CachedRowStore<Waiting>
    this.#inner.init?.(context)
    this.#arm(context.clock.now() + 1)
  }

  process(record: StreamRecord<unknown, unknown>): MaybePromise<void> {
    if (!this.#loaded) return this.#load().then(() => this.process(record))
    const id = this.#lines.size > 0 ? this.#ids.of(record) : undefined
    const line = id === undefined ? undefined : this.#lines.get(id)
    if (line !== undefined) return this.#keep(id!, line, record, 0, 0)
    try {
      const result = this.#inner.process(record)
      return result === undefined ? undefined : result.catch((error) => this.#failed(error, record))
    } catch (error) {
      this.#failed(error, record)
    }
  }

  close(): void {
    this.#inner.close?.()
  }

  #failed(error: unknown, record: StreamRecord<unknown, unknown>): void {
    const id = this.#ids.of(record)
    const delayMs = id === undefined ? undefined : this.#context.putOff(error, record, 1)
    if (delayMs === undefined) throw error
    const due = this.#context.clock.now() + delayMs
    const line: Line = { seqs: [], attempt: 1, due }
    this.#lines.set(id!, line)
    this.#keep(id!, line, record, 1, due)
    this.#arm(due)
  }

  #keep(id: string, line: Line, record: StreamRecord<unknown, unknown>, attempt: number, due: number): void {
    const at = this.#context.source ?? { topic: '', partition: this.#context.partition, offset: -1 }
    const { topic, partition, offset } = at
    const { timestamp, headers } = record
    const key = Buffer.from(id, 'latin1')
    const value = record.value == null ? null : this.#value(topic).encode(record.value)
    const letter = letterOf({ key, value, timestamp, headers })
    const original = Origin.original(at)
    const seq = ++this.#seq
    line.seqs.push(seq)
    const kept = original === undefined ? letter : letterOf(original)
    const waiting: Waiting = { at: { topic, partition, offset }, record: letter, original: kept, attempt, due }
    this.#store.set(this.#store.known(rowId(id, seq), null), waiting, Math.max(0, timestamp), [])
    this.#context.drop('waits for a retry')
  }

  /** What waited when the task was closed. */
  async #load(): Promise<void> {
    for await (const { id, value } of this.#store.scan({ from: '', to: undefined })) {
      const key = id.slice(0, -SEQ)
      const seq = Number.parseInt(id.slice(-SEQ), 16)
      this.#seq = Math.max(this.#seq, seq)
      const line = this.#lines.get(key)
      if (line === undefined) this.#lines.set(key, { seqs: [seq], attempt: value.attempt, due: value.due })
      else {
        line.seqs.push(seq)
        line.seqs.sort((a, b) => a - b)
        if (line.seqs[0] === seq) Object.assign(line, { attempt: value.attempt, due: value.due })
      }
    }
    this.#loaded = true
  }

  #arm(due: number): void {
    if (due >= this.#armed) return
    this.#timer?.cancel()
    this.#armed = due
    const delayMs = Math.max(1, due - this.#context.clock.now())
    this.#timer = this.#context.schedule(delayMs, 'wall', (now) => this.#fire(now))
  }

  async #fire(now: number): Promise<void> {
    this.#timer?.cancel()
    this.#armed = Number.POSITIVE_INFINITY
    if (!this.#loaded) await this.#load()
    let left = MOST
    for (const [id, line] of this.#lines) {
      if (line.due <= now && left > 0) left = await this.#work(id, line, left)
    }
    let next = Number.POSITIVE_INFINITY
    for (const { due } of this.#lines.values()) next = Math.min(next, due)
    if (next < Number.POSITIVE_INFINITY) this.#arm(next)
  }

  /** A line from its head, until one is put off again or `left` are worked. @returns how many are left to work */
  async #work(id: string, line: Line, left: number): Promise<number> {
    const context = this.#context
    for (; left > 0; left--) {
      const row = await this.#store.row(rowId(id, line.seqs[0]!))
      const waiting = row.value!
      const { record, source } = this.#again(waiting)
      const attempt = line.attempt + 1
      let delayMs: number | undefined
      await context.supervised(
        record,
        source,
        async () => {
          delayMs = undefined
          try {
            await this.#inner.process(record)
          } catch (error) {
            delayMs = context.putOff(error, record, attempt)
            if (delayMs === undefined) throw error
          }
        },
        attempt
      )
      if (delayMs !== undefined) {
        line.attempt = attempt
        line.due = context.clock.now() + delayMs
        this.#store.set(row, { ...waiting, attempt, due: line.due }, row.timestamp, [])
        return left - 1
      }
      this.#store.set(row, null, row.timestamp, [])
      line.seqs.shift()
      line.attempt = 0
      line.due = 0
      if (line.seqs.length > 0) continue
      this.#lines.delete(id)
      return left - 1
    }
    return 0
  }

  #again({ at, record, original }: Waiting): { record: StreamRecord<unknown, unknown>; source: RecordContext } {
    const { key, value, headers, timestamp } = record
    const serde = this.#value(at.topic)
    const decode = (of: Serde<unknown>, text: string | null): unknown => {
      if (text === null) return null
      const bytes = Buffer.from(text, 'base64')
      return of.decode(bytes, 0, bytes.length)
    }
    const again = new StreamRecord(decode(this.#key, key), decode(serde, value), timestamp, readHeaders(headers))
    const { set, headers: kept } = setOf(original, at.offset)
    return { record: again, source: new Origin(at.topic, at.partition, set, 0, kept) }
  }
}

/** A node with a rule that keeps records by key gets its store; others stay as they are. @throws as `key` does */
export function withRetries(
  graph: Pick<Topology, 'addStore'>,
  draft: ProcessorDraft,
  key: () => Serde<unknown>,
  value: (topic: string) => Serde<unknown>
): ProcessorDraft {
  if (!(Array.isArray(draft.supervise) && draft.supervise.some(isByKey))) return draft
  const store = retriesName(draft.name)
  const ofKeys = key()
  graph.addStore({ name: store, kind: 'buffer', key: bytes(), value: waitingSerde, caching: true, logged: true })
  const create = (): Operator => new RetriesOperator(draft.create(), draft.name, ofKeys, value)
  return { ...draft, stores: [...(draft.stores ?? []), store], create, keepsRetries: true }
}

/** Hexadecimal digits of a sequence number behind the key. */
const SEQ = 12
const rowId = (key: string, seq: number): string => key + seq.toString(16).padStart(SEQ, '0')

function letterOf(of: {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly timestamp: number
  readonly headers: Headers
}): Letter {
  const text = (bytes: Buffer | null): string | null => bytes?.toString('base64') ?? null
  const headers = of.headers.map(([name, bytes]) => [name, text(bytes)] as const)
  return { key: text(of.key), value: text(of.value), timestamp: of.timestamp, headers }
}

const readHeaders = (headers: Letter['headers']): Headers =>
  headers.map(([name, text]) => [name, text === null ? null : Buffer.from(text, 'base64')])

function setOf({ key, value, timestamp, headers }: Letter, offset: number): { set: RecordSet; headers: Headers } {
  const [k, v] = [key, value].map((text) => (text === null ? null : Buffer.from(text, 'base64'))) as [
    Buffer | null,
    Buffer | null
  ]
  const set = new RecordSet(Buffer.concat([k ?? Buffer.alloc(0), v ?? Buffer.alloc(0)]), 1)
  const middle = k?.length ?? 0
  set.offsets[0] = offset
  set.timestamps[0] = timestamp
  set.keyEnd[0] = k === null ? -1 : middle
  set.valueStart[0] = middle
  set.valueEnd[0] = v === null ? -1 : middle + v.length
  set.headersAt[0] = -1
  set.count = 1
  return { set, headers: readHeaders(headers) }
}
