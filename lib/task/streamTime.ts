/** A task's stream time and how times travel: with the database batch, and with the committed offsets to another machine. */

/** Longest offset metadata that is sent; the broker's default limit is 4,096 bytes. */
const MAX_METADATA = 3_500

/** Highest event time taken for processing; never falls. */
export class StreamTime {
  /** ms; -1 before the first record. */
  now = -1

  /** @returns true when the time moved on */
  observe(time: number): boolean {
    if (time <= this.now) return false
    this.now = time
    return true
  }
}

/** What rides on a committed source offset. */
export interface OffsetTimes {
  /** Partition time, ms; -1 = none. */
  readonly time: number
  /** Operators' saved numbers, by slot. */
  readonly saved: Readonly<Record<string, number>>
}

const NONE: OffsetTimes = { time: -1, saved: {} }

/**
 * As text for the offset metadata. Saved numbers that would make it too long are left out: they are still in the local database.
 * @example encodeTimes(1700000000000, new Map([['window/close', 5]])) // '{"t":1700000000000,"s":{"window/close":5}}'
 */
export function encodeTimes(time: number, saved: ReadonlyMap<string, number>): string {
  const plain = `{"t":${time}}`
  if (saved.size === 0) return plain
  const full = JSON.stringify({ t: time, s: Object.fromEntries(saved) })
  return Buffer.byteLength(full) > MAX_METADATA ? plain : full
}

/** Reads what `encodeTimes` wrote. Metadata of other programs (a Java job's, a tool's) is no error: it says nothing. */
export function decodeTimes(metadata: string | undefined): OffsetTimes {
  if (!metadata?.startsWith('{"t":')) return NONE
  try {
    const { t, s } = JSON.parse(metadata) as { t: unknown; s?: Record<string, unknown> }
    const saved: Record<string, number> = {}
    for (const [slot, value] of Object.entries(s ?? {})) if (typeof value === 'number') saved[slot] = value
    return { time: typeof t === 'number' ? t : -1, saved }
  } catch {
    return NONE
  }
}
