/** The sinks' way out of a task: records become bytes in the producer's partition writers. */
import { EncodeError, MillraceError, nearest, TopicError, TransportError } from '../errors.ts'
import { partitionFor, stickyPartitioner } from '../kafka/partitioner.ts'
import type { PartitionWriter, Producer } from '../kafka/port.ts'
import type { Serde, StreamRecord } from '../record.ts'
import { type Write, writeOf } from '../serde/write.ts'
import type { MaybePromise } from '../store/port.ts'
import type { Random } from '../time.ts'
import type { SinkNode } from '../topology/node.ts'
import type { OriginalRecord } from '../topology/origin.ts'

// biome-ignore lint/suspicious/noExplicitAny: a task carries records of every type
type AnyRecord = StreamRecord<any, any>

/** A topic that is written to: its writers are made when first needed. */
interface Target {
  readonly topic: string
  readonly count: number
  readonly writers: (PartitionWriter | undefined)[]
}

/** What a record in hand is written to, until it is appended a moment later. Larger ones get a Buffer of their own. */
const WRITTEN = { key: Buffer.allocUnsafeSlow(8 << 10), value: Buffer.allocUnsafeSlow(64 << 10) }

interface Way {
  readonly sink: SinkNode
  readonly writeKey: Write<unknown> | undefined
  readonly writeValue: Write<unknown> | undefined
  /** undefined when the topic is chosen per record. */
  readonly fixed: Target | undefined
}

export interface OutboxOptions {
  readonly taskId: string
  readonly producer: Pick<Producer, 'writer'>
  /** Of topics known when the job started; 0 = not known. */
  readonly partitionCount: (topic: string) => number
  /** Asks the broker, for topics chosen per record; 0 = there is none. */
  readonly lookUp: (topic: string) => Promise<number>
  readonly random: Random
}

/** Encodes and appends, synchronously. Bytes nobody touched are copied from the fetch response as they lie there. */
export class Outbox {
  /** Records given since the last `reset`: what a commit must not leave behind. */
  appended = 0
  /** Records given since it was made. */
  total = 0
  readonly #options: OutboxOptions
  readonly #targets = new Map<string, Target>()
  readonly #ways = new Map<SinkNode, Way>()
  readonly #sticky: (count: number, bytes: number) => number
  #last: Way | undefined // of the previous record: most chains end in one sink
  #closed = false

  constructor(options: OutboxOptions) {
    this.#options = options
    this.#sticky = stickyPartitioner(options.random)
  }

  /** After this nothing is appended any more: user code that comes back late from an await must not begin a transaction. */
  close(): void {
    this.#closed = true
  }

  /**
   * Gives a promise only for the first record to a topic that was chosen by a record and is not known yet.
   * @throws TopicError when the topic does not exist (ERR_MISSING_TOPIC) or has no such partition (ERR_PARTITION)
   * @throws EncodeError when key or value cannot be encoded, or the time is negative
   */
  emit(sink: SinkNode, record: AnyRecord): MaybePromise<void> {
    if (this.#closed)
      throw new TransportError(`Task ${this.#options.taskId} is closed: its output is refused.`, 'fatal')
    let way = this.#last
    if (way === undefined || way.sink !== sink) way = this.#way(sink)
    const target = way.fixed ?? this.#dynamic(sink, record)
    if (target instanceof Promise) return target.then(() => this.emit(sink, record))
    if (!(record.timestamp >= 0)) throw this.#badTime(sink, target.topic, record)

    const keySet = record.rawKey(sink.key)
    let key: Buffer | null
    let keyStart = 0
    let keyEnd = 0
    if (keySet !== undefined) {
      keyEnd = keySet.keyEnd[record._row]!
      keyStart = keySet.keyStart[record._row]!
      key = keyEnd < 0 ? null : keySet.bytes
    } else {
      keyEnd = way.writeKey === undefined ? -1 : this.#write(way.writeKey, sink, target.topic, record, 'key')
      key = keyEnd >= 0 ? WRITTEN.key : this.#encode(sink, target.topic, record, 'key')
      if (keyEnd < 0) keyEnd = key === null ? 0 : key.length
    }

    const valueSet = record.rawValue(sink.value)
    let value: Buffer | null
    let valueStart = 0
    let valueEnd = 0
    if (valueSet !== undefined) {
      valueEnd = valueSet.valueEnd[record._row]!
      valueStart = valueSet.valueStart[record._row]!
      value = valueEnd < 0 ? null : valueSet.bytes
    } else {
      valueEnd = way.writeValue === undefined ? -1 : this.#write(way.writeValue, sink, target.topic, record, 'value')
      value = valueEnd >= 0 ? WRITTEN.value : this.#encode(sink, target.topic, record, 'value')
      if (valueEnd < 0) valueEnd = value === null ? 0 : value.length
    }

    const partition =
      sink.partitioner !== undefined
        ? this.#chosen(sink, target, sink.partitioner(record, target.count))
        : target.count === 1
          ? 0
          : key === null
            ? this.#sticky(target.count, valueEnd - valueStart + 16)
            : partitionFor(key, keyStart, keyEnd, target.count)
    let writer = target.writers[partition]
    if (writer === undefined) {
      writer = this.#options.producer.writer(target.topic, partition)
      target.writers[partition] = writer
    }
    try {
      writer.append(record.timestamp, key, keyStart, keyEnd, value, valueStart, valueEnd, record.headers)
    } catch (error) {
      throw this.#refused(error, sink, target.topic, record, valueEnd - valueStart)
    }
    this.appended++
    this.total++
  }

  /** Bytes as they are, by the default partitioner. @throws as `emit` */
  raw(topic: string, { key, value, timestamp, headers }: OriginalRecord): void {
    const target = this.#target({ name: 'dead letter' }, topic)
    const partition = key === null ? 0 : partitionFor(key, 0, key.length, target.count)
    const writer = this.#options.producer.writer(topic, partition)
    writer.append(timestamp, key, 0, key?.length ?? 0, value, 0, value?.length ?? 0, headers)
    this.appended++
    this.total++
  }

  #way(sink: SinkNode): Way {
    let way = this.#ways.get(sink)
    if (way === undefined) {
      way = {
        sink,
        writeKey: writeOf(sink.key as Serde<unknown>),
        writeValue: writeOf(sink.value as Serde<unknown>),
        fixed: typeof sink.topic === 'string' ? this.#target(sink, sink.topic) : undefined
      }
      this.#ways.set(sink, way)
    }
    this.#last = way
    return way
  }

  #dynamic(sink: SinkNode, record: AnyRecord): Target | Promise<Target> {
    const topic = (sink.topic as (record: AnyRecord) => string)(record)
    const known = this.#targets.get(topic)
    if (known !== undefined) return known
    if (typeof topic !== 'string' || topic === '') throw this.#missing(sink, topic)
    if (this.#options.partitionCount(topic) > 0) return this.#target(sink, topic)
    return this.#options.lookUp(topic).then((count) => this.#target(sink, topic, count))
  }

  #target(sink: Pick<SinkNode, 'name'>, topic: string, count = this.#options.partitionCount(topic)): Target {
    let target = this.#targets.get(topic)
    if (target !== undefined) return target
    if (!(count > 0)) throw this.#missing(sink, topic)
    target = { topic, count, writers: new Array<PartitionWriter | undefined>(count).fill(undefined) }
    this.#targets.set(topic, target)
    return target
  }

  #missing(sink: Pick<SinkNode, 'name'>, topic: unknown): TopicError {
    const like = nearest(String(topic), [...this.#targets.keys()])
    return new TopicError(
      `Sink "${sink.name}" writes to topic "${topic}", which does not exist. Create it, or correct the name${like ? ` (did you mean "${like}"?)` : ''}.`,
      { code: 'ERR_MISSING_TOPIC', details: { task: this.#options.taskId, node: sink.name, topic } }
    )
  }

  #encode(sink: SinkNode, topic: string, record: AnyRecord, part: 'key' | 'value'): Buffer | null {
    const content: unknown = part === 'key' ? record.key : record.value
    if (content === null || content === undefined) return null
    try {
      return (sink[part] as Serde<unknown>).encode(content)
    } catch (cause) {
      throw this.#notEncoded(sink, topic, record, part, cause)
    }
  }

  /** Into the buffer of that part. @returns where it ends; -1 for nothing, and for what is to be encoded on its own */
  #write(write: Write<unknown>, sink: SinkNode, topic: string, record: AnyRecord, part: 'key' | 'value'): number {
    const content: unknown = part === 'key' ? record.key : record.value
    if (content === null || content === undefined) return -1
    try {
      return write(content, WRITTEN[part], 0)
    } catch (cause) {
      throw this.#notEncoded(sink, topic, record, part, cause)
    }
  }

  #notEncoded(sink: SinkNode, topic: string, record: AnyRecord, part: 'key' | 'value', cause: unknown): EncodeError {
    const serde: Serde<unknown> = sink[part]
    return new EncodeError(
      `Sink "${sink.name}" (topic "${topic}"): the ${part} of the record with key ${show(record)} cannot be encoded as ${serde.name}: ` +
        `${cause instanceof Error ? cause.message : String(cause)}. Give the sink a serde that fits, or change the ${part} before it.`,
      {
        cause: cause instanceof MillraceError ? (cause.cause ?? cause) : cause,
        details: { task: this.#options.taskId, node: sink.name, topic, part, serde: serde.name }
      }
    )
  }

  #chosen(sink: SinkNode, target: Target, partition: number): number {
    if (Number.isInteger(partition) && partition >= 0 && partition < target.count) return partition
    throw new TopicError(
      `The partitioner of sink "${sink.name}" chose partition ${partition} of topic "${target.topic}", which has 0 to ${target.count - 1}.`,
      {
        code: 'ERR_PARTITION',
        details: { task: this.#options.taskId, node: sink.name, topic: target.topic, partition }
      }
    )
  }

  #badTime(sink: SinkNode, topic: string, record: AnyRecord): EncodeError {
    return new EncodeError(
      `Sink "${sink.name}" (topic "${topic}"): the record with key ${show(record)} has the event time ${record.timestamp}. ` +
        'A time is milliseconds since 1970, 0 or more; correct it before the sink (withTimestamp), or in the timestamp extractor.',
      { details: { task: this.#options.taskId, node: sink.name, topic, timestamp: record.timestamp } }
    )
  }

  #refused(error: unknown, sink: SinkNode, topic: string, record: AnyRecord, bytes: number): unknown {
    if (!(error instanceof TransportError) || error.fault !== 'too-large') return error
    return new TransportError(
      `Sink "${sink.name}" (topic "${topic}"): the record with key ${show(record)} has a value of ${bytes} bytes, more than a batch may have. ` +
        'Make it smaller, or raise max.message.bytes of the topic and the batch size.',
      'too-large',
      {
        cause: error,
        kafkaCode: error.kafkaCode,
        details: { task: this.#options.taskId, node: sink.name, topic, bytes }
      }
    )
  }
}

/** A key for a message: short, and never a second error. */
function show(record: AnyRecord): string {
  try {
    const key: unknown = record.key
    const text = Buffer.isBuffer(key) ? key.toString('latin1') : typeof key === 'string' ? key : JSON.stringify(key)
    return `"${String(text).slice(0, 60)}"`
  } catch {
    return '(unreadable)'
  }
}
