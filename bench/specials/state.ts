/** State that is there before a run: counts of keys, each seen once, as their changelog holds them. Every side reads the same bytes. */
import { changelogTopic } from '../../lib/changelog/topics.ts'
import { topology } from '../../lib/dsl/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { prepare } from '../../lib/prepare/prepare.ts'
import { systemClock } from '../../lib/time.ts'
import { LastLongs } from '../harness/expected.ts'
import { putter } from '../harness/topics.ts'
import type { Job, Put } from '../harness/types.ts'
import { countLarge } from '../workloads/counts.ts'
import { keyOf, order, START, scattered } from '../workloads/data.ts'

/** A prime: its multiples visit every key once, not in the order of their names. */
const STRIDE = 7_919
/** Records appended between two looks at what the broker has. */
const CHUNK = 50_000
const PENDING_BYTES = 32 << 20

/** Makes the topics that a job of `count-large` has from its first start on, and writes the changelog of its store. */
export async function writeCounts(transport: Transport, job: Omit<Job, 'stateDir'>, keys: number): Promise<void> {
  const { group, partitions } = job
  const first = topology()
  countLarge.build(
    first,
    { ...job, stateDir: '' },
    (t, from) => t.stream(from),
    () => {}
  )
  await prepare({ built: first.build(group), transport, replicationFactor: -1, clock: systemClock })
  const topic = changelogTopic(group, 'counts')
  const producer = await transport.producer({ lane: 0 })
  const put = putter(producer, topic, partitions)
  const once = Buffer.alloc(8)
  once.writeBigInt64BE(1n)
  for (let i = 0; i < keys; i++) {
    put(START, keyOf((i * STRIDE) % keys), once)
    if (i % CHUNK === 0) await producer.room(PENDING_BYTES)
  }
  await producer.flush()
  await producer.close()
}

/** Records of keys that have been counted once before. Each call of `data` goes on where the last one stood. */
export function counted(keys: number) {
  const expected = new LastLongs()
  let next = 0
  return {
    data(records: number, put: Put): LastLongs {
      for (const end = next + records; next < end; next++) {
        const n = scattered(next, keys)
        const key = String(n)
        if (!expected.values.has(key)) expected.add(key, 1)
        expected.add(key, 1)
        put(0, START + next, keyOf(n), order(next, 1))
      }
      return expected
    }
  }
}
