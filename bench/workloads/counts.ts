/** Jobs that count: per key, per minute, per session. */
import { session, topic, tumbling } from '../../lib/dsl/index.ts'
import { bytes, long, string } from '../../lib/serde/index.ts'
import { LastLongs } from '../harness/expected.ts'
import type { Put, Workload } from '../harness/types.ts'
import { keyOf, order, START, scattered } from './data.ts'

const MINUTE = 60_000
const written = (output: string) => topic(output, { key: string(), value: long() })
const parts = { key: string(), value: bytes() }

function perKey(name: string, keys: number, about: string): Workload {
  return {
    name,
    about,
    inputs: 1,
    data(records, put) {
      const expected = new LastLongs()
      for (let i = 0; i < records; i++) {
        const key = scattered(i, keys)
        put(0, START + i, keyOf(key), order(i, 1))
        expected.add(String(key), 1)
      }
      return expected
    },
    build(t, { inputs, output }, source) {
      source(t, topic(inputs[0]!, parts)).groupByKey().count({ name: 'counts' }).toStream().to(written(output))
    }
  }
}

export const count = perKey('count', 10_000, 'running count per key, 10,000 keys')
export const countLarge = perKey('count-large', 1_000_000, 'running count per key, 1,000,000 keys')

export const perMinute: Workload = {
  name: 'window',
  about: 'count per key and minute of event time, 10,000 keys',
  inputs: 1,
  data(records, put) {
    const expected = new LastLongs()
    for (let i = 0; i < records; i++) {
      const key = scattered(i, 10_000)
      const time = START + i
      put(0, time, keyOf(key), order(i, 1))
      expected.add(`${key}@${time - (time % MINUTE)}`, 1)
    }
    return expected
  },
  build(t, { inputs, output }, source) {
    source(t, topic(inputs[0]!, parts))
      .groupByKey()
      .windowedBy(tumbling('1m'))
      .count({ name: 'counts' })
      .toStream(({ key }) => `${key.key}@${key.start}`, { key: string() })
      .to(written(output))
  }
}

/** A thousand keys are busy for 50 s, then the next thousand: about 50 records a session, ten silent minutes between two of a key. */
function bursts(records: number, put: Put): LastLongs {
  const expected = new LastLongs()
  const open = new Map<number, { first: number; last: number; count: number }>()
  const close = (key: number): void => {
    const s = open.get(key)
    if (s) expected.add(`${key}@${s.first}-${s.last}`, s.count)
    open.delete(key)
  }
  for (let i = 0; i < records; i++) {
    const key = ((Math.floor(i / 50_000) * 1_000) % 12_000) + scattered(i, 1_000)
    const time = START + i
    put(0, time, keyOf(key), order(i, 1))
    let s = open.get(key)
    if (s && time - s.last > MINUTE) {
      close(key)
      s = undefined
    }
    if (s) {
      s.last = time
      s.count++
    } else open.set(key, { first: time, last: time, count: 1 })
  }
  for (const key of [...open.keys()]) close(key)
  return expected
}

export const perSession: Workload = {
  name: 'session',
  about: 'count per key and session (gap one minute), about 50 records a session',
  inputs: 1,
  data: bursts,
  build(t, { inputs, output }, source) {
    source(t, topic(inputs[0]!, parts))
      .groupByKey()
      .windowedBy(session('1m'))
      .count({ name: 'counts' })
      .toStream(({ key }) => `${key.key}@${key.start}-${key.end}`, { key: string() })
      .to(written(output))
  }
}
