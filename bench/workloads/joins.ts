/** Jobs that join: a stream with a table, two streams within a minute. */
import { topic } from '../../lib/dsl/index.ts'
import { string } from '../../lib/serde/index.ts'
import { ExactRecords, SameRecords } from '../harness/expected.ts'
import type { Workload } from '../harness/types.ts'
import { keyOf, order, START, scattered } from './data.ts'

const KEYS = 10_000
const parts = { key: string(), value: string() }

export const streamTable: Workload = {
  name: 'stream-table',
  about: 'each record with its row of a table of 10,000',
  inputs: 2,
  tables: [1],
  data(records, put) {
    const expected = new ExactRecords()
    const row = (key: number): string => `row-${scattered(key, 1_000_000)}`
    // The table is complete before the stream begins, by event time.
    for (let key = 0; key < KEYS; key++) put(1, START - KEYS + key, keyOf(key), Buffer.from(row(key)))
    for (let i = 0; i < records; i++) {
      const n = scattered(i, KEYS)
      const [key, value] = [keyOf(n), order(i, 1)]
      put(0, START + i, key, value)
      expected.add(START + i, key, Buffer.from(`${value}|${row(n)}`))
    }
    return expected
  },
  build(t, { inputs, output }, source) {
    const table = t.table(topic(inputs[1]!, parts), { name: 'table' })
    source(t, topic(inputs[0]!, parts))
      .join(table, (left, right) => `${left}|${right}`)
      .to(topic(output, parts))
  }
}

const MINUTE = 60_000

export const streamStream: Workload = {
  name: 'stream-stream',
  about: 'two streams, each record with its partner within ±1 minute; one in ten has none',
  inputs: 2,
  data(records, put) {
    const expected = new SameRecords()
    const half = records >> 1
    // In blocks of 30 s on both sides: the partner of a record is in the same block, in another order; one in ten has another key.
    const BLOCK = 15_000
    for (let from = 0; from < half; from += BLOCK) {
      const to = Math.min(half, from + BLOCK)
      for (let i = from; i < to; i++) {
        const mirrored = from + to - 1 - i
        const [left, right] = [order(i, 1), order(mirrored, 2)]
        put(0, START + 2 * i, keyOf(i), left)
        const stray = mirrored % 10 === 0
        put(1, START + 2 * i + 1, stray ? Buffer.from(`stray-${mirrored}`) : keyOf(mirrored), right)
        if (i % 10 !== 0 && Math.abs(2 * (i - mirrored) - 1) <= MINUTE)
          expected.add(keyOf(i), Buffer.from(`${left}|${order(i, 2)}`))
      }
    }
    return expected
  },
  build(t, { inputs, output }, source) {
    const right = source(t, topic(inputs[1]!, parts))
    source(t, topic(inputs[0]!, parts))
      .join(right, (l, r) => `${l}|${r}`, { within: '1m', name: 'join', result: string() })
      .to(topic(output, parts))
  }
}
