/** Numbers that operators keep across restarts: by node and slot, in the database and with the committed offsets. */

/** Owned by the task. Two levels of maps: a joined key would be built and hashed per record. */
export class SavedNumbers {
  /** Something was saved since this was last set to false. */
  changed = false
  readonly #nodes = new Map<string, Map<string, number>>()
  readonly #askers = new Set<string>()
  readonly #stored: (slot: string) => number | undefined

  /** @param stored what the database has under `<node>/<slot>` */
  constructor(stored: (slot: string) => number | undefined) {
    this.#stored = stored
  }

  get(node: string, slot: string): number | undefined {
    this.#askers.add(node)
    const known = this.#nodes.get(node)?.get(slot)
    if (known !== undefined) return known
    const stored = this.#stored(`${node}/${slot}`)
    // Kept, so that it travels on with the next commit even if it does not change.
    if (stored !== undefined) this.#node(node).set(slot, stored)
    return stored
  }

  set(node: string, slot: string, value: number): void {
    this.#node(node).set(slot, value)
    this.changed = true
  }

  /** What came with a committed offset: at least as new as the database, which is written behind the log. */
  load(slot: string, value: number): void {
    const at = slot.lastIndexOf('/')
    this.#node(slot.slice(0, at)).set(slot.slice(at + 1), value)
  }

  /** The node's operator keeps numbers (it may not have saved one yet). */
  has(node: string): boolean {
    return this.#askers.has(node) || this.#nodes.has(node)
  }

  /** By `<node>/<slot>`. */
  all(): Map<string, number> {
    const all = new Map<string, number>()
    for (const [node, slots] of this.#nodes) for (const [slot, value] of slots) all.set(`${node}/${slot}`, value)
    return all
  }

  #node(node: string): Map<string, number> {
    let slots = this.#nodes.get(node)
    if (slots === undefined) {
      slots = new Map()
      this.#nodes.set(node, slots)
    }
    return slots
  }
}
