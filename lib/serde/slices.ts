/** Text straight out of a range of a buffer, without a view object in between (Node's own slice methods, which its types leave out). */

interface Sliceable {
  utf8Slice(start: number, end: number): string
  latin1Slice(start: number, end: number): string
}

export const utf8 = (bytes: Buffer, start: number, end: number): string =>
  (bytes as unknown as Sliceable).utf8Slice(start, end)

/** One character a byte: exact for any bytes and the cheapest way to a Map key. */
export const latin1 = (bytes: Buffer, start: number, end: number): string =>
  (bytes as unknown as Sliceable).latin1Slice(start, end)
