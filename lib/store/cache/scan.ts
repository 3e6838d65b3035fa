/** Ordered reads over cache and database at once: what is not written yet overlays what is. */
import type { Database } from '../port.ts'
import type { CachedRow } from './row.ts'

/** One row of a scan, as it was when the scan began. */
export interface Scanned<V> {
  readonly id: string
  readonly value: V
  readonly timestamp: number
}

export interface ScanRange {
  /** First id. */
  readonly from: string
  /** First id behind the range; undefined = the end of the store. */
  readonly to: string | undefined
  readonly reverse?: boolean | undefined
  readonly limit?: number | undefined
}

interface Overlay<V> {
  readonly id: string
  readonly value: V | null
  readonly timestamp: number
}

/** The unwritten rows of a range, copied now: a consumer that changes rows while it iterates must not see its own changes. */
export function overlayOf<V>(held: Iterable<CachedRow<V>>, { from, to, reverse }: ScanRange): Overlay<V>[] {
  const found = new Map<string, Overlay<V>>()
  for (const row of held) {
    if (row.id < from || (to !== undefined && row.id >= to)) continue
    found.set(row.id, { id: row.id, value: row.value, timestamp: row.timestamp })
  }
  const sign = reverse ? -1 : 1
  return [...found.values()].sort((a, b) => (a.id < b.id ? -sign : sign))
}

/** Merges the overlay with a database scan in the same direction. An overlay without a value hides the database's row. */
export async function* mergeScan<V>(
  overlay: readonly Overlay<V>[],
  chunks: ReturnType<Database['range']>,
  decode: (key: Buffer, value: Buffer) => Scanned<V>,
  { reverse, limit = Number.POSITIVE_INFINITY }: ScanRange
): AsyncGenerator<Scanned<V>> {
  const before = (a: string, b: string): boolean => (reverse ? a > b : a < b)
  let at = 0
  let left = limit
  if (left <= 0) return
  for await (const chunk of chunks) {
    for (const [key, value] of chunk) {
      const row = decode(key, value)
      while (at < overlay.length && before(overlay[at]!.id, row.id)) {
        const over = overlay[at++]!
        if (over.value === null) continue
        yield over as Scanned<V>
        if (--left === 0) return
      }
      let next: Overlay<V> = row
      if (at < overlay.length && overlay[at]!.id === row.id) next = overlay[at++]!
      if (next.value === null) continue
      yield next as Scanned<V>
      if (--left === 0) return
    }
  }
  for (; at < overlay.length; at++) {
    if (overlay[at]!.value === null) continue
    yield overlay[at] as Scanned<V>
    if (--left === 0) return
  }
}
