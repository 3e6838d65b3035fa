/** What a JSON reader has learned of its objects: which key follows which, and a literal for each shape. */

/** Makes the object of a shape from its values, which lie from `from` on in the order of the keys. */
type Make = (values: readonly unknown[], from: number) => object

/** A place within an object, behind the keys that lead there. */
export interface Point {
  /** The keys that may follow, the usual one first. */
  readonly nexts: Next[]
  /** Set as soon as an object that ends here was seen twice. */
  make: Make | undefined
  taught: boolean
}

export interface Next {
  readonly name: string
  /** `"name":` */
  readonly bytes: Buffer
  readonly after: Point
  /** Where the objects begin that are the value of this key, or items of it. */
  readonly inner: Point
}

/** Keys that may follow in one place: those of maps, which differ in each object, take each other's room. */
const MOST_NEXTS = 32
const MOST_KEYS = 64
/** Keys known, and literals compiled. Then all are forgotten: those still in use are soon learned again, what maps have left is not. */
const MOST_POINTS = 5_000
const MOST_SHAPES = 200
const MOST_LEVELS = 8
const MOST_ITEMS = 4

/**
 * Written alike in JSON and in JavaScript, and kept by objects in the order they come in: no quotes, no escapes, no array indices. Nor is it
 * `__proto__`, which a literal takes in another way.
 */
const NAME = /^(?!__proto__$)[A-Za-z_$@][\w$@:./ -]{0,63}$/

export class Shapes {
  root = newPoint()
  /** How often, at most 8: lessons become rarer, since what is learned does not last. */
  forgotten = 0
  #points = 0
  #left = MOST_SHAPES

  /** @param value what `JSON.parse` gave. @throws EvalError where Node may not compile text (--disallow-code-generation-from-strings). */
  learn(value: unknown): void {
    if (this.#points >= MOST_POINTS || this.#left === 0) {
      this.root = newPoint()
      this.forgotten = Math.min(8, this.forgotten + 1)
      this.#points = 0
      this.#left = MOST_SHAPES
    }
    this.#learn(value, this.root, MOST_LEVELS)
  }

  #learn(value: unknown, root: Point, levels: number): void {
    if (typeof value !== 'object' || value === null || levels === 0) return
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length && i < MOST_ITEMS; i++) this.#learn(value[i], root, levels - 1)
      return
    }
    const names = Object.keys(value)
    if (names.length === 0 || names.length > MOST_KEYS || !names.every((name) => NAME.test(name))) return
    let point = root
    for (const name of names) {
      if (this.#points >= MOST_POINTS) return
      const next = known(point, name) ?? this.#add(point, name)
      this.#learn((value as Record<string, unknown>)[name], next.inner, levels - 1)
      point = next.after
    }
    if (point.taught && !point.make && this.#left > 0) {
      this.#left--
      point.make = compiled(names)
    }
    point.taught = true
  }

  #add(point: Point, name: string): Next {
    const next = { name, bytes: Buffer.from(`"${name}":`), after: newPoint(), inner: newPoint() }
    this.#points += 2
    if (point.nexts.length === MOST_NEXTS) point.nexts.pop()
    point.nexts.push(next)
    return next
  }
}

const newPoint = (): Point => ({ nexts: [], make: undefined, taught: false })

const known = (point: Point, name: string): Next | undefined => point.nexts.find((next) => next.name === name)

/** A literal: one allocation, of the hidden class that `JSON.parse` gives the same keys. Names hold nothing that would end their quotes. */
const compiled = (names: readonly string[]): Make =>
  new Function('values', 'from', `return {${names.map((name, i) => `"${name}":values[from+${i}]`).join()}}`) as Make

/** The key that stands at `at`; what is met often moves to the front. */
export function nextOf(point: Point, bytes: Buffer, at: number): Next | undefined {
  const { nexts } = point
  for (let i = 0; i < nexts.length; i++) {
    const next = nexts[i]!
    const name = next.bytes
    // From the end: names that go together begin alike.
    let k = name.length - 1
    while (k >= 0 && bytes[at + k] === name[k]) k--
    if (k >= 0) continue
    if (i > 0) {
      nexts[i] = nexts[i - 1]!
      nexts[i - 1] = next
    }
    return next
  }
  return undefined
}
