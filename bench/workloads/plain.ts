/** Jobs without state: read and drop, read and write, read, change and write. */
import { topic } from '../../lib/dsl/index.ts'
import { bytes, json, string } from '../../lib/serde/index.ts'
import { ExactRecords } from '../harness/expected.ts'
import type { Workload } from '../harness/types.ts'
import { keyOf, order, START, scattered } from './data.ts'

const KEYS = 10_000

export const read: Workload = {
  name: 'read',
  about: 'reads all, keeps one key of 10,000',
  inputs: 1,
  data(records, put) {
    const expected = new ExactRecords()
    for (let i = 0; i < records; i++) {
      const n = scattered(i, KEYS)
      const [key, value] = [keyOf(n), order(i, 1)]
      put(0, START + i, key, value)
      if (n === 7) expected.add(START + i, key, value)
    }
    return expected
  },
  build(t, { inputs, output }, source) {
    const parts = { key: string(), value: bytes() }
    source(t, topic(inputs[0]!, parts))
      .filter(({ key }) => key === '7')
      .to(topic(output, parts))
  }
}

export const pass: Workload = {
  name: 'pass',
  about: 'each record as it is from one topic to the other, acks from all replicas',
  inputs: 1,
  data(records, put) {
    const expected = new ExactRecords()
    for (let i = 0; i < records; i++) {
      const [key, value] = [keyOf(scattered(i, KEYS)), order(i, 1)]
      put(0, START + i, key, value)
      expected.add(START + i, key, value)
    }
    return expected
  },
  build(t, { inputs, output }, source) {
    const parts = { key: bytes(), value: bytes() }
    source(t, topic(inputs[0]!, parts)).to(topic(output, parts))
  }
}

interface Order {
  id: number
  amount: number
  checked: boolean
  text: string
}

export const jsonChange: Workload = {
  name: 'json',
  about: 'parses JSON of 100 bytes, changes two fields, writes it',
  inputs: 1,
  data(records, put) {
    const expected = new ExactRecords()
    for (let i = 0; i < records; i++) {
      const key = keyOf(scattered(i, KEYS))
      const amount = scattered(~i, 400)
      const value = order(i, amount)
      put(0, START + i, key, value)
      const changed = JSON.parse(value.toString()) as Order
      const result = { ...changed, amount: changed.amount * 2, checked: true }
      expected.add(START + i, key, Buffer.from(JSON.stringify(result)))
    }
    return expected
  },
  build(t, { inputs, output }, source) {
    source(t, topic(inputs[0]!, { key: bytes(), value: json<Order>() }))
      .mapValues((o) => ({ ...o, amount: o.amount * 2, checked: true }))
      .to(topic(output, { key: bytes(), value: json<Order>() }))
  }
}
