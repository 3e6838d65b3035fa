/** The order in which rows are restored: RocksDB looks for a row's place from that of the row before, so neighbours cost it a fraction. */

/** Whole numbers up to 2^53 are exact. */
const EXACT_BITS = 53

/** After so many looks at neighbours in vain no more are taken: most changelogs are compacted, and a look is a tenth of a row's time. */
const PATIENCE = 500

/**
 * Numbers of the rows in about the order of their keys: by the first four bytes or more that not all of them share. Keys that are alike so far
 * keep their order, so that the last row of a key is the last to be written. Left out is a row whose neighbour replaces it,
 * unless that is rare: a changelog of 100 updates a key is restored in half the time.
 * @param places three numbers a row; its key lies in `rows` from the first to the second
 */
export function keyOrder(rows: Uint8Array, places: Int32Array, count: number): Float64Array {
  const steps = 2 ** Math.ceil(Math.log2(Math.max(count, 1)))
  const digits = Math.floor((EXACT_BITS - Math.log2(steps)) / 8)
  const shared = sharedLength(rows, places, count)
  const order = new Float64Array(count)
  for (let i = 0; i < count; i++) {
    const start = places[i * 3]! + shared
    const end = places[i * 3 + 1]!
    let number = 0
    for (let at = start; at < start + digits; at++) number = number * 256 + (at < end ? rows[at]! : 0)
    order[i] = number * steps + i
  }
  order.sort() // without a comparison in JavaScript: some 50 ns a row
  let kept = 0
  let looks = 0 // since the last one that found something
  for (let i = 0; i < count; i++) {
    const row = order[i]! % steps
    if (i + 1 < count && order[i + 1]! - order[i]! < steps && looks < PATIENCE) {
      looks++
      if (sameKey(rows, places, row, order[i + 1]! % steps)) {
        looks = 0
        continue
      }
    }
    order[kept++] = row
  }
  return order.subarray(0, kept)
}

/** From the end: neighbours begin alike. */
function sameKey(rows: Uint8Array, places: Int32Array, a: number, b: number): boolean {
  const start = places[a * 3]!
  const other = places[b * 3]!
  let length = places[a * 3 + 1]! - start
  if (places[b * 3 + 1]! - other !== length) return false
  while (length > 0 && rows[start + length - 1] === rows[other + length - 1]) length--
  return length === 0
}

/** Bytes at the start that all keys have in common. */
function sharedLength(rows: Uint8Array, places: Int32Array, count: number): number {
  if (count === 0) return 0
  const first = places[0]!
  let shared = places[1]! - first
  for (let i = 1; i < count; i++) {
    const start = places[i * 3]!
    const most = Math.min(shared, places[i * 3 + 1]! - start)
    let length = 0
    while (length < most && rows[start + length] === rows[first + length]) length++
    shared = length
  }
  return shared
}
