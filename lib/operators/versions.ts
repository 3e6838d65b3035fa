/** The versions of one row of a versioned table: which value held from when on. */
import type { Serde } from '../record.ts'
import { readInt64, writeInt64 } from '../store/bytes.ts'
import type { TaskStore } from '../store/port.ts'

export interface Version<V> {
  /** From when on it holds, ms: until the next one begins. */
  readonly timestamp: number
  /** null: there was no row. */
  readonly value: V | null
}

/** In the order of time; the last is the present one. Never empty. */
export type Versions<V> = readonly Version<V>[]

/** The versions with one more; one of the same time is replaced. What no look can reach any more is left out. @param oldest the first time that looks may ask for */
export function withVersion<V>(versions: Versions<V>, version: Version<V>, oldest: number): Versions<V> {
  let at = versions.length
  while (at > 0 && versions[at - 1]!.timestamp > version.timestamp) at--
  const same = at > 0 && versions[at - 1]!.timestamp === version.timestamp
  const next = [...versions.slice(0, same ? at - 1 : at), version, ...versions.slice(at)]
  let first = 0
  while (first + 1 < next.length && next[first + 1]!.timestamp <= oldest) first++
  return first === 0 ? next : next.slice(first)
}

/** The version that held at a time. @param oldest times before it are known no more, except from the present version */
export function versionAt<V>(versions: Versions<V> | null, time: number, oldest: number): Version<V> | undefined {
  if (versions === null) return undefined
  const last = versions[versions.length - 1]!
  if (last.timestamp <= time) return last
  if (time < oldest) return undefined
  for (let at = versions.length - 2; at >= 0; at--) if (versions[at]!.timestamp <= time) return versions[at]
  return undefined
}

/** (time(8) ‖ length(4; −1 = null) ‖ value)*. */
export const versionsSerde = <V>(value: Serde<V>): Serde<Versions<V>> => ({
  name: `versions(${value.name})`,
  encode: (versions) => {
    const parts: Buffer[] = []
    for (const version of versions) {
      const bytes = version.value === null ? null : value.encode(version.value)
      const head = Buffer.allocUnsafe(12)
      writeInt64(head, version.timestamp, 0)
      head.writeInt32BE(bytes === null ? -1 : bytes.length, 8)
      parts.push(head)
      if (bytes !== null) parts.push(bytes)
    }
    return Buffer.concat(parts)
  },
  decode: (bytes, start, end) => {
    const versions: Version<V>[] = []
    for (let at = start; at < end; ) {
      const timestamp = readInt64(bytes, at)
      const length = bytes.readInt32BE(at + 8)
      at += 12
      versions.push({ timestamp, value: length < 0 ? null : value.decode(bytes, at, at + length) })
      at += Math.max(0, length)
    }
    return versions
  }
})

const times = new WeakMap<TaskStore, number>()

/** Stream time of a versioned store: the highest time put into it, −1 before. Kept by the operator that owns the store. */
export const storeTime = (store: TaskStore): number => times.get(store) ?? -1
export const setStoreTime = (store: TaskStore, time: number): void => {
  times.set(store, time)
}
