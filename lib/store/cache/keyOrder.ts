/** The order in which rows are restored: RocksDB looks for a row's place from that of the row before, so neighbours cost it a fraction. */

/** Whole numbers up to 2^53 are exact. */
const EXACT_BITS = 53

/**
 * Numbers of the rows in about the order of their keys: by the first four bytes or more that not all of them share. Keys that are alike so far
 * keep their order, so that the last row of a key is the last to be written.
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
  for (let i = 0; i < count; i++) order[i]! %= steps
  return order
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
