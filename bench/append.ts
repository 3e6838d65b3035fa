/** How many records a second one core encodes into batches (checksum included), by record size. Run: node --import tsx bench/append.ts */
import { RecordBatchWriter } from '../lib/kafka/protocol/recordBatchWriter.ts'
import { stopwatch } from '../lib/time.ts'

const RECORDS = 1_000_000
const ROUNDS = 6
const identity = {
  producerId: 1,
  producerEpoch: 0,
  baseSequence: 0,
  transactional: false,
  codec: 'none' as const
}

console.log('key  value  million records/s  MB/s')
for (const [keyBytes, valueBytes] of [
  [8, 20],
  [8, 100],
  [16, 50],
  [36, 100],
  [36, 1_000]
] as const) {
  // As the engine has them: views into an answer of a megabyte.
  const bytes = Buffer.alloc(1 << 20, 1)
  const writer = new RecordBatchWriter(1_000_000)
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const began = stopwatch()
    for (let n = 0; n < RECORDS; ) {
      const at = (n * 131) % 1_000_000
      const middle = at + keyBytes
      if (writer.append(1e12 + n, bytes, at, middle, bytes, middle, middle + valueBytes, []) > 0) n++
      else {
        writer.finish(identity)
        writer.reset()
      }
    }
    best = Math.min(best, stopwatch() - began)
  }
  const rate = RECORDS / best / 1_000
  const columns = [keyBytes, valueBytes, rate.toFixed(1), (rate * (keyBytes + valueBytes)).toFixed(0)]
  console.log(columns.map((c, i) => String(c).padEnd([5, 7, 19, 6][i]!)).join(''))
}
