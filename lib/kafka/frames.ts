/** Puts the frames of a connection together: each in one buffer of its size, whatever pieces it came in. */

/** A size is believed up to here; a larger frame grows as it comes. What is no Kafka announces anything: "HTTP" are 1.2 GB. */
const AT_ONCE = 16 << 20
/** The number of the request that it answers. */
const SMALLEST = 4
const NONE = Buffer.alloc(0)

export class Frames {
  readonly #whole: (frame: Buffer) => void
  readonly #head = Buffer.alloc(4)
  #headAt = 0
  #size = -1 // of the frame under way; -1 = its head is not complete
  #frame = NONE
  #at = 0

  /** @param whole gets each frame without its size */
  constructor(whole: (frame: Buffer) => void) {
    this.#whole = whole
  }

  /** Copies what it takes: `data` may be used again. @returns false when it announces a frame that cannot be, nothing comes after that */
  take(data: Buffer): boolean {
    for (let from = 0; from < data.length; ) {
      if (this.#size < 0) {
        this.#head[this.#headAt++] = data[from++]!
        if (this.#headAt < 4) continue
        this.#size = this.#head.readInt32BE(0)
        if (this.#size < SMALLEST) return false
        this.#frame = Buffer.allocUnsafe(Math.min(this.#size, AT_ONCE))
        this.#at = 0
      }
      from += this.#copy(data, from)
      if (this.#at < this.#size) continue
      const frame = this.#frame
      this.#frame = NONE // is not kept alive until the next one comes
      this.#size = -1
      this.#headAt = 0
      this.#whole(frame)
    }
    return true
  }

  /** @returns bytes that the frame has taken */
  #copy(data: Buffer, from: number): number {
    const length = Math.min(data.length - from, this.#size - this.#at)
    if (this.#at + length > this.#frame.length) {
      const grown = Buffer.allocUnsafe(Math.min(this.#size, Math.max(this.#at + length, this.#frame.length * 2)))
      this.#frame.copy(grown, 0, 0, this.#at)
      this.#frame = grown
    }
    data.copy(this.#frame, this.#at, from, from + length)
    this.#at += length
    return length
  }
}
