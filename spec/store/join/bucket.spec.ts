/** A bucket of a join against a plain model: a list of entries for each key, searched from end to end. */
import { expect } from 'chai'
import type { Serde } from '../../../lib/record.ts'
import { Bucket } from '../../../lib/store/join/bucket.ts'
import { type Entry, hasOpen, insert } from '../../../lib/store/join/entries.ts'
import { seededRandom } from '../../../lib/time.ts'
import { text } from '../../cases/storeKit.ts'

const serde = text as Serde<string>
const ALL = Number.MAX_SAFE_INTEGER

type Model = Map<string, Entry<string>[]>

/** Keys that are hard to tell apart: the empty one, beginnings of each other, every byte, bytes that end in zero, long ones. */
function keysOf(count: number, random: () => number): string[] {
  const keys = new Set(['', '\u0000', '\u0000\u0000', 'a', 'a\u0000', 'aa', 'x'.repeat(32), 'x'.repeat(33)])
  for (let byte = 0; byte < 256; byte++) keys.add(String.fromCharCode(byte))
  for (let i = 0; keys.size < count; i++) {
    const length = Math.floor(random() * 100)
    const bytes = Array.from({ length }, () => Math.floor(random() * 256))
    for (const key of [String(i), `order-${i}`, `${'long'.repeat(10)}${i}`, String.fromCharCode(...bytes)])
      keys.add(key)
  }
  return [...keys]
}

function put(bucket: Bucket<string>, model: Model, key: string, time: number, open: boolean, value: string): void {
  const bytes = Buffer.from(`<${value}>`)
  bucket.put(key, time, open, bytes, 1, bytes.length - 1)
  const entries = model.get(key) ?? []
  model.set(key, entries)
  insert(entries, { timestamp: time, value, open })
}

function expectSame(bucket: Bucket<string>, model: Model): void {
  for (const [key, entries] of model) {
    expect(bucket.collect(key, 0, ALL, undefined), JSON.stringify(key)).to.deep.equal(entries)
  }
  const keys = [...bucket.keys()]
  expect(keys).to.have.length(model.size)
  expect(new Set(keys)).to.deep.equal(new Set(model.keys()))
}

describe('A bucket of a join', () => {
  it('has nothing, and takes no memory, before the first entry', () => {
    const bucket = new Bucket(0, serde)
    expect(bucket.bytes).to.equal(0)
    expect([...bucket.keys()]).to.deep.equal([])
    for (const key of ['', '\u0000', 'a']) {
      expect(bucket.collect(key, 0, ALL, undefined)).to.equal(undefined)
      expect(bucket.hasOpen(key, 0)).to.equal(false)
    }
  })

  for (const seed of [1, 2, 3]) {
    it(`finds what a plain list of each key finds, whatever the keys and the order of times (seed ${seed})`, () => {
      const random = seededRandom(seed)
      const upTo = (n: number): number => Math.floor(random() * n)
      const keys = keysOf(600, random)
      const bucket = new Bucket(0, serde)
      const model: Model = new Map()
      const times = 12 // few: many entries have the same
      for (let step = 0; step < 6000; step++) {
        // Every second one of the last keys stays absent; ever more of the others come.
        const key = keys[upTo(Math.min(keys.length, 1 + step))]!
        const present = keys.indexOf(key) % 2 === 0
        const time = upTo(times)
        const action = random()
        if (action < 0.4) {
          if (present) put(bucket, model, key, time, random() < 0.5, String(step))
        } else if (action < 0.6) {
          const open = random() < 0.5
          bucket.setOpen(key, time, open)
          for (const entry of model.get(key) ?? []) if (entry.timestamp === time) entry.open = open
        } else if (action < 0.8) {
          expect(bucket.hasOpen(key, time)).to.equal(hasOpen(model.get(key) ?? [], time))
        } else {
          const to = time + upTo(times)
          const before: Entry<string>[] | undefined =
            random() < 0.5 ? undefined : [{ timestamp: 0, value: 'x', open: true }]
          const some = (model.get(key) ?? []).filter(({ timestamp }) => timestamp >= time && timestamp <= to)
          const all = some.length === 0 ? before : [...(before ?? []), ...some]
          expect(bucket.collect(key, time, to, before)).to.deep.equal(all)
        }
      }
      expectSame(bucket, model)
    })
  }

  it('keeps every key while its table grows many times, and counts the memory that it takes', () => {
    const keys = keysOf(20_000, seededRandom(4))
    const bucket = new Bucket(0, serde)
    const model: Model = new Map()
    for (const [i, key] of keys.entries()) put(bucket, model, key, i, true, String(i))
    expectSame(bucket, model)
    for (const key of keys) expect(bucket.collect(`${key}?!`, 0, ALL, undefined)).to.equal(undefined)
    const data = keys.reduce((size, key, i) => size + 16 + key.length + String(i).length, 0)
    expect(bucket.bytes).to.be.within(data, data + keys.length * 60 + (256 << 10))
  })

  it('does not take the beginning of a value for the rest of a key', () => {
    // Of so many pairs, some meet in the same slot with the same bits of their hashes.
    for (let i = 0; i < 20_000; i++) {
      const bucket = new Bucket(0, serde)
      put(bucket, new Map(), 'k', 1, true, String(i))
      expect(bucket.collect(`k${i}`, 0, ALL, undefined)).to.equal(undefined)
    }
  })

  it('is the same again from its blocks, all entries open, and takes more', () => {
    const random = seededRandom(5)
    const keys = keysOf(3000, random)
    const bucket = new Bucket(0, serde)
    const model: Model = new Map()
    const again = new Bucket(0, serde)
    for (let step = 0; step < 8000; step++) {
      put(bucket, model, keys[Math.floor(random() * keys.length)]!, Math.floor(random() * 50), true, String(step))
      if (step % 1000 < 999) continue
      for (const { bytes, from, to } of bucket.take()) again.adopt(bytes, from, to)
    }
    expectSame(again, model)
    for (let step = 0; step < 2000; step++) {
      put(again, model, keys[Math.floor(random() * keys.length)]!, Math.floor(random() * 50), false, `later ${step}`)
    }
    expectSame(again, model)
  })
})
