/** Tells the sides of a table join that one record has changed both: A.join(B).join(B), where B reaches the second join on two ways. */
import type { Serde } from '../record.ts'
import type { RecordContext } from '../topology/node.ts'

/**
 * Remembers the last change and the last result of a join. One record runs through the whole topology before the next, so its second
 * way comes right after the first; at a flush (no record is in hand) the same holds for a row.
 */
export class SameCause {
  readonly #values: { readonly left: Serde<unknown>; readonly right: Serde<unknown> }
  #source: RecordContext | undefined
  #id: string | undefined
  #left = false
  #old: unknown
  #result: { left: unknown; right: unknown; timestamp: number } | undefined

  constructor(values: { readonly left: Serde<unknown>; readonly right: Serde<unknown> }) {
    this.#values = values
  }

  /**
   * A change has come.
   * @returns what the other side had before the same record changed it; undefined when it has not
   */
  change(source: RecordContext | undefined, id: string, left: boolean, old: unknown): unknown {
    const same = id === this.#id && equal(source, this.#source)
    const before = same && left !== this.#left ? this.#old : undefined
    if (!same) this.#result = undefined
    this.#source = source
    this.#id = id
    this.#left = left
    this.#old = old
    return before
  }

  /** The result to come is the last one again, by the same record. */
  repeats(
    source: RecordContext | undefined,
    id: string,
    value: unknown,
    other: unknown,
    isLeft: boolean,
    timestamp: number
  ): boolean {
    const left = isLeft ? value : other
    const right = isLeft ? other : value
    const last = this.#result
    if (last && id === this.#id && equal(source, this.#source)) {
      const { left: l, right: r } = this.#values
      if (last.timestamp === timestamp && same(l, last.left, left) && same(r, last.right, right)) return true
    }
    this.#result = { left, right, timestamp }
    return false
  }
}

const equal = (a: RecordContext | undefined, b: RecordContext | undefined): boolean =>
  a === b || (a?.offset === b?.offset && a?.partition === b?.partition && a?.topic === b?.topic)

/** Values that are computed twice are two objects: then their bytes decide. */
const same = (serde: Serde<unknown>, a: unknown, b: unknown): boolean =>
  a === b || (typeof a === 'object' && a !== null && b !== null && serde.encode(a).equals(serde.encode(b)))
