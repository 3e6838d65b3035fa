/** The shapes of a job's stores, kept beside them in a topic: another version of the job is held against what the last one left. */
import { changelogConfig } from '../changelog/topics.ts'
import { TopologyError } from '../errors.ts'
import type { TopicSpec, Transport } from '../kafka/port.ts'
import { NO_HEADERS, type Tp, tpKey } from '../record.ts'
import type { Clock } from '../time.ts'
import type { BuiltTopology } from '../topology/built.ts'
import { shapesTopic } from '../topology/names.ts'
import { misfits, type Shape, shapesOf } from '../topology/shape.ts'

export type TopologyChange = 'refuse' | 'accept'

export interface ShapeCheck {
  /** Misfits that were accepted. */
  readonly warnings: readonly string[]
  /** To be created with the other internal topics; none where nothing is kept. */
  readonly topics: readonly TopicSpec[]
  /** Once they exist: writes down what has changed. */
  record(): Promise<void>
}

/**
 * In a topic, not in the state directory: that may be empty, or another machine's. A compacted record for each store.
 * @param exists the topic is there: an earlier version has run
 * @throws TopologyError ERR_TOPOLOGY_CHANGED
 */
export async function checkShapes(
  built: BuiltTopology,
  transport: Pick<Transport, 'reader' | 'producer' | 'offsets'>,
  exists: boolean,
  change: TopologyChange,
  clock: Clock
): Promise<ShapeCheck> {
  const tp = { topic: shapesTopic(built.applicationId), partition: 0 }
  const before = exists ? await read(transport, tp) : new Map<string, Shape>()
  const now = shapesOf(built)
  const reasons = misfits(before, now)
  if (reasons.length > 0 && change === 'refuse') throw refusal(built.applicationId, reasons)
  const after = new Map(now)
  for (const [name, shape] of before) if (!now.has(name)) after.set(name, { ...shape, gone: true })
  const fresh = [...after].filter(([name, shape]) => JSON.stringify(before.get(name)) !== JSON.stringify(shape))
  return {
    warnings: reasons.map((reason) => `${reason} Accepted, as topologyChange says.`),
    topics: after.size > 0 ? [{ topic: tp.topic, partitions: 1, replication: -1, config: changelogConfig({}) }] : [],
    record: async () => {
      if (fresh.length > 0) await write(transport, tp, fresh, clock.now())
    }
  }
}

const refusal = (applicationId: string, reasons: readonly string[]): TopologyError =>
  new TopologyError(
    `The topology does not fit the state that another version of application "${applicationId}" has left. ${reasons.join(' ')} ` +
      'Give what has changed a name of its own (it begins empty), or what was renamed its former name; or start under a new application id, which reads ' +
      "everything again. If you know that the state fits: topologyChange: 'accept'.",
    { code: 'ERR_TOPOLOGY_CHANGED', details: { reasons } }
  )

async function read(transport: Pick<Transport, 'reader' | 'offsets'>, tp: Tp): Promise<Map<string, Shape>> {
  const at = tpKey(tp.topic, tp.partition)
  const [starts, ends] = await Promise.all([transport.offsets([tp], 'start'), transport.offsets([tp], 'hw')])
  const [start, end] = [starts.get(at) ?? 0, ends.get(at) ?? 0]
  const shapes = new Map<string, Shape>()
  if (start >= end) return shapes
  let failed: (error: unknown) => void
  const reader = transport.reader({ isolation: 'committed', lane: 'restore', onError: (error) => failed(error) })
  try {
    await new Promise<void>((resolve, reject) => {
      failed = reject
      reader.add(tp, start, ({ records, next }) => {
        for (let i = 0; i < records.count; i++) {
          const [key, value] = [records.key(i), records.value(i)]
          if (key && value) shapes.set(key.toString(), JSON.parse(value.toString()))
        }
        if (next >= end) resolve()
      })
    })
  } finally {
    await reader.close()
  }
  return shapes
}

async function write(
  transport: Pick<Transport, 'producer'>,
  tp: Tp,
  shapes: readonly (readonly [string, Shape])[],
  now: number
): Promise<void> {
  const producer = await transport.producer({ lane: 0 })
  try {
    const writer = producer.writer(tp.topic, tp.partition)
    for (const [name, shape] of shapes) {
      const [key, value] = [Buffer.from(name), Buffer.from(JSON.stringify(shape))]
      writer.append(now, key, 0, key.length, value, 0, value.length, NO_HEADERS)
    }
    await producer.flush()
  } finally {
    await producer.close()
  }
}
