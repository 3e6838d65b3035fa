/** A key's row: the state, its timers, and where the marks of the key stand in the order of time. */
import { ProcessingError } from '../errors.ts'
import type { Serde } from '../record.ts'
import { utf8 } from '../serde/slices.ts'
import { writeOf, written } from '../serde/write.ts'
import { readInt64, writeInt64 } from '../store/bytes.ts'

export const EVENT = 0
export const WALL = 1
export type TimerClock = typeof EVENT | typeof WALL

export interface Timer {
  readonly name: string
  /** ms since the epoch. */
  readonly due: number
  readonly clock: TimerClock
}

/** Changed in place: the cache serialises it once at flush. */
export interface KeyedRow<S> {
  /** undefined: timers were set and no state given. */
  state: S | undefined
  /** Few; in no order. */
  timers: Timer[]
  /**
   * By clock, the time of the key's mark in the timers' store; -1 = none. Not later than its earliest timer, perhaps earlier: a timer that is
   * taken back leaves the mark, so that one set and cancelled with every record writes nothing there.
   */
  readonly marks: [event: number, wall: number]
}

const PLAIN = 0
const TIMED = 1
const STATELESS = 2
const VERSIONED = 4
const VERSION_BYTES = 2
const HEAD = 1 + 8 + 8 + 2
const TIMER_HEAD = 1 + 8 + 2

/** Of a state's form: rows carry it, and are brought up to it step by step when they are read. */
export interface StateVersion {
  /** 1 to 65535. Rows that carry none are of version 0. */
  readonly now: number
  /** By the version that a step starts from. */
  readonly steps: Readonly<Record<number, (old: unknown) => unknown>>
}

/** A row without timers and marks costs one byte more than its state. */
export function keyedSerde<S>(state: Serde<S>, behaviour = '', version?: StateVersion): Serde<KeyedRow<S>> {
  const write = writeOf(state)
  return {
    name: `keyed(${state.name})`,
    encode: written(
      (row: KeyedRow<S>) => encoded(row, state, version),
      (row, target, at) => {
        if (!write || version || row.state === undefined || isTimed(row) || at >= target.length) return -1
        target[at] = PLAIN
        return write(row.state, target, at + 1)
      }
    ),
    decode(bytes, start, end) {
      const flag = bytes[start]!
      const timers: Timer[] = []
      const marks: [number, number] = [-1, -1]
      let at = start + 1
      if (flag & TIMED) {
        marks[0] = readInt64(bytes, start + 1)
        marks[1] = readInt64(bytes, start + 9)
        at = start + HEAD
        for (let left = bytes.readUInt16BE(start + 17); left > 0; left--) {
          const named = at + TIMER_HEAD
          const next = named + bytes.readUInt16BE(at + 9)
          timers.push({ name: utf8(bytes, named, next), due: readInt64(bytes, at + 1), clock: bytes[at] as TimerClock })
          at = next
        }
      }
      if (flag & STATELESS) return { state: undefined, timers, marks }
      let of = 0
      if (flag & VERSIONED) {
        of = bytes.readUInt16BE(at)
        at += VERSION_BYTES
      }
      const kept = state.decode(bytes, at, end)
      return { state: of === (version?.now ?? 0) ? kept : (migrated(kept, of, behaviour, version) as S), timers, marks }
    }
  }
}

const isTimed = ({ timers, marks }: KeyedRow<unknown>): boolean => timers.length > 0 || marks[0] >= 0 || marks[1] >= 0

function encoded<S>(kept: KeyedRow<S>, serde: Serde<S>, version: StateVersion | undefined): Buffer {
  const { state, timers, marks } = kept
  const plain = state === undefined ? Buffer.alloc(0) : serde.encode(state)
  const bytes = version && state !== undefined ? versioned(plain, version.now) : plain
  const flag = (state === undefined ? STATELESS : version ? VERSIONED : 0) | (isTimed(kept) ? TIMED : PLAIN)
  if ((flag & TIMED) === 0) {
    const row = Buffer.allocUnsafe(1 + bytes.length)
    row[0] = flag
    row.set(bytes, 1)
    return row
  }
  const names = timers.map(({ name }) => Buffer.from(name))
  const row = Buffer.allocUnsafe(names.reduce((sum, name) => sum + TIMER_HEAD + name.length, HEAD + bytes.length))
  row[0] = flag
  writeInt64(row, marks[0], 1)
  writeInt64(row, marks[1], 9)
  row.writeUInt16BE(timers.length, 17)
  let at = HEAD
  for (const [i, { due, clock }] of timers.entries()) {
    const name = names[i]!
    row[at] = clock
    writeInt64(row, due, at + 1)
    row.writeUInt16BE(name.length, at + 9)
    row.set(name, at + TIMER_HEAD)
    at += TIMER_HEAD + name.length
  }
  row.set(bytes, at)
  return row
}

/** The marks of a row as it is stored, without decoding the rest. */
export const storedMarks = (bytes: Buffer): KeyedRow<unknown>['marks'] =>
  bytes[0]! & TIMED ? [readInt64(bytes, 1), readInt64(bytes, 9)] : [-1, -1]

function versioned(state: Buffer, version: number): Buffer {
  const bytes = Buffer.allocUnsafe(VERSION_BYTES + state.length)
  bytes.writeUInt16BE(version, 0)
  bytes.set(state, VERSION_BYTES)
  return bytes
}

function migrated(state: unknown, from: number, behaviour: string, version: StateVersion | undefined): unknown {
  const now = version?.now ?? 0
  let migrated = state
  for (let at = from; at !== now; at++) {
    const step = at < now ? version?.steps[at] : undefined
    if (!step) {
      throw new ProcessingError(
        `A key's state is of version ${from} of behaviour "${behaviour}", which is of version ${now} now. ${
          at > now
            ? 'A newer program has written it: run that one, or its successor.'
            : `Give the behaviour "migrate: { ${at}: (old) => … }".`
        }`,
        { code: 'ERR_BEHAVIOUR_STATE', details: { behaviour, version: from } }
      )
    }
    migrated = step(migrated)
  }
  return migrated
}
