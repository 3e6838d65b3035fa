/** The order in which rows are restored: RocksDB looks for a row's place from that of the row before, so neighbours cost it a fraction. */

/** Bytes of a key that are compared. */
const DIGITS = 4
/** Of a pass of the sort: three for 32 bits. */
const PASS_BITS = 11
const BUCKETS = 1 << PASS_BITS

/** After so many looks at neighbours in vain no more are taken: most changelogs are compacted, and a look is a tenth of a row's time. */
const PATIENCE = 500

// Used again by each call: memory that is new costs as much as the sort.
const ends = new Uint32Array(BUCKETS)
let numbers = new Uint32Array(0)
let order = new Uint32Array(0)
let other = new Uint32Array(0)

/**
 * Numbers of the rows in about the order of their keys: by the first four bytes that not all of them share. Keys that are alike so far
 * keep their order, so that the last row of a key is the last to be written. Left out is a row whose neighbour replaces it,
 * unless that is rare: a changelog of 100 updates a key is restored in half the time.
 * @param places three numbers a row; its key lies in `rows` from the first to the second
 */
export function keyOrder(rows: Uint8Array, places: Int32Array, count: number): Uint32Array {
  if (numbers.length < count) {
    numbers = new Uint32Array(count)
    order = new Uint32Array(count)
    other = new Uint32Array(count)
  }
  const shared = sharedLength(rows, places, count)
  for (let i = 0; i < count; i++) {
    const start = places[i * 3]! + shared
    const end = places[i * 3 + 1]!
    let number = 0
    for (let at = start; at < start + DIGITS; at++) number = (number << 8) | (at < end ? rows[at]! : 0)
    numbers[i] = number
  }
  sort(count)
  const found = new Uint32Array(count)
  let kept = 0
  let looks = 0 // since the last one that found something
  for (let i = 0; i < count; i++) {
    const row = order[i]!
    if (i + 1 < count && numbers[order[i + 1]!] === numbers[row] && looks < PATIENCE) {
      looks++
      if (sameKey(rows, places, row, order[i + 1]!)) {
        looks = 0
        continue
      }
    }
    found[kept++] = row
  }
  return found.subarray(0, kept)
}

/** Puts the places of the first `count` numbers into `order`, in ascending order of the numbers, those of equal ones as they stand: a radix sort. */
function sort(count: number): void {
  for (let i = 0; i < count; i++) order[i] = i
  for (let shift = 0; shift < 32; shift += PASS_BITS) {
    ends.fill(0)
    for (let i = 0; i < count; i++) ends[(numbers[i]! >>> shift) & (BUCKETS - 1)]!++
    for (let i = 0, before = 0; i < BUCKETS; i++) {
      const here = ends[i]!
      ends[i] = before
      before += here
    }
    for (let i = 0; i < count; i++) {
      const place = order[i]!
      other[ends[(numbers[place]! >>> shift) & (BUCKETS - 1)]!++] = place
    }
    const done = other
    other = order
    order = done
  }
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
