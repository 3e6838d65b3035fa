/** Generated machines and events: each step equal to XState's own, in value, context, status, output, history, tags and effects. */
import { expect } from 'chai'
import fc from 'fast-check'
import {
  type AnyStateMachine,
  and,
  assign,
  cancel,
  createMachine,
  type EventObject,
  emit,
  enqueueActions,
  log,
  not,
  raise,
  stateIn
} from 'xstate'
import { compare, effects } from './machineTrace.ts'

// biome-ignore lint/suspicious/noExplicitAny: configurations are made up
type Any = any

/** Choices one after another; the end of the tape gives zeros, which are the plainest choices. */
class Tape {
  readonly #numbers: readonly number[]
  #at = 0
  constructor(numbers: readonly number[]) {
    this.#numbers = numbers
  }
  below(n: number): number {
    return (this.#numbers[this.#at++] ?? 0) % n
  }
  one<T>(of: readonly T[]): T {
    return of[this.below(of.length)]!
  }
  some<T>(most: number, make: () => T): T[] {
    return Array.from({ length: this.below(most + 1) }, make)
  }
}

const EVENTS = ['a', 'b', 'c', 'd.x', 'd.y'] as const
const IDS = ['one', 'two']

interface Sketch {
  readonly id: string
  readonly type: 'atomic' | 'compound' | 'parallel' | 'final' | 'history'
  readonly states: Sketch[]
}

function sketch(tape: Tape, id: string, depth: number, type?: Sketch['type']): Sketch {
  const kind = type ?? (depth === 0 ? 'atomic' : tape.one(['atomic', 'atomic', 'compound', 'parallel'] as const))
  const states: Sketch[] = []
  if (kind === 'compound' || kind === 'parallel') {
    const n = 2 + tape.below(2)
    for (let i = 0; i < n; i++) states.push(sketch(tape, `${id}_${i}`, depth - 1))
    if (kind === 'compound' && tape.below(3) === 1) states.push(sketch(tape, `${id}_f`, 0, 'final'))
    if (tape.below(3) === 1) states.push(sketch(tape, `${id}_h`, 0, 'history'))
  }
  return { id, type: kind, states }
}

const flat = (s: Sketch): Sketch[] => [s, ...s.states.flatMap(flat)]

function action(tape: Tape, deep = true): Any {
  const n = tape.below(100)
  switch (tape.below(deep ? 10 : 8)) {
    case 0:
      return assign({ n: ({ context }: Any) => context.n + 1 })
    case 1:
      return assign(({ context, event }: Any) => ({ n: context.n + (event.by ?? 0), last: event.type }))
    case 2:
      return emit(({ context }: Any) => ({ type: `e${n % 3}`, n: context.n }))
    case 3:
      return raise({ type: 'b', n } as Any, { delay: n, id: tape.one(IDS) })
    case 4:
      return cancel(tape.one(IDS))
    case 5:
      return log(({ context }: Any) => context.n, `l${n}`)
    case 6:
      return ({ context, event }: Any) => void effects.push(['custom', n, context, event.type])
    case 7:
      return { type: 'named', params: ({ context }: Any) => ({ n: context.n }) }
    case 8:
      return raise({ type: tape.one(EVENTS) })
    default: {
      const inner = tape.some(3, () => action(tape, false))
      return enqueueActions(({ enqueue, context, check }: Any) => {
        for (const one of inner) enqueue(one)
        if (context.n % 2 === 0) enqueue.raise({ type: 'c' })
        if (check('odd')) enqueue.assign({ n: context.n + 3 })
      })
    }
  }
}

function guard(tape: Tape, all: readonly Sketch[]): Any {
  const m = 2 + tape.below(3)
  switch (tape.below(8)) {
    case 0:
      return ({ context }: Any) => context.n % m === 0
    case 1:
      return 'odd'
    case 2:
      return { type: 'over', params: { than: m } }
    case 3:
      return and(['odd', not(({ event }: Any) => event.by === m)])
    case 4:
      return stateIn(`#${tape.one(all).id}`)
    default:
      return undefined
  }
}

function config(tape: Tape, s: Sketch, all: readonly Sketch[], root: Sketch): Any {
  if (s.type === 'history') return { id: s.id, type: 'history', history: tape.one(['shallow', 'deep']) }
  const actions = (): Any[] => tape.some(2, () => action(tape))
  const targets = all.filter(({ id }) => id !== root.id)
  const transition = (more = 0): Any => ({
    target: tape.below(4) > more ? `#${tape.one(targets).id}` : undefined,
    reenter: tape.below(4) === 1,
    guard: guard(tape, all),
    actions: actions()
  })
  const own: Any = { id: s.id, entry: actions(), exit: actions(), tags: tape.some(1, () => `t${s.id}`) }
  if (s.type === 'final') return { ...own, type: 'final', output: ({ context }: Any) => ({ at: s.id, n: context.n }) }
  own.on = Object.fromEntries(
    tape.some(3, () => [tape.one([...EVENTS, '*', 'd.*']), tape.some(2, () => transition()).concat(transition())])
  )
  if (tape.below(4) === 1) own.after = { [tape.one(['10', 'later', 'sooner'])]: transition() }
  // Eventless ones end by themselves, nearly always: what does not is thrown by both.
  if (tape.below(6) === 1) {
    own.always = {
      ...transition(-1),
      guard: ({ context }: Any) => context.n % 3 === 1,
      actions: [assign({ n: (o: Any) => o.context.n + 1 })]
    }
  }
  if (s.states.length === 0) return own
  if (s.type === 'compound') {
    own.initial = s.states[0]!.id
    if (tape.below(5) === 1) own.initial = { target: own.initial, actions: actions() }
    if (tape.below(3) === 1) own.onDone = transition()
  } else own.type = 'parallel'
  own.states = Object.fromEntries(s.states.map((child) => [child.id, config(tape, child, all, root)]))
  return own
}

function machineOf(numbers: readonly number[]): AnyStateMachine {
  const tape = new Tape(numbers)
  const root = sketch(tape, 'r', 3, tape.one(['compound', 'compound', 'parallel'] as const))
  const all = flat(root)
  const made = config(tape, root, all, root)
  return createMachine(
    {
      ...made,
      context: ({ input }: Any) => ({ n: input.n, last: '' }),
      output: ({ context, event }: Any) => ({ n: context.n, by: event.output }),
      options: { maxIterations: 50 }
    },
    {
      guards: {
        odd: ({ context }: Any) => context.n % 2 === 1,
        over: ({ context }: Any, { than }: Any) => context.n > than
      },
      delays: { later: ({ context }: Any) => 100 + context.n, sooner: 5 },
      actions: { named: ({ context }: Any, params: Any) => void effects.push(['named', context, params]) }
    } as Any
  )
}

const tape = fc.array(fc.nat(9_999), { minLength: 40, maxLength: 600 })
const event = fc.oneof(
  { weight: 5, arbitrary: fc.record({ type: fc.constantFrom(...EVENTS), by: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.constant({ type: 'unheard', by: 1 }) },
  {
    weight: 2,
    arbitrary: fc.nat(50).map((n) => (delayed: readonly EventObject[]) => delayed[n % delayed.length] ?? { type: 'a' })
  }
)

describe('A step of a generated machine', function () {
  this.timeout(60_000)

  it('gives what XState gives, whatever the machine, the events, and the restarts between them', () => {
    const kinds = new Set<string>()
    let ends = 0
    let lost = 0
    const runs = Number(process.env.MACHINE_RUNS ?? 600)
    fc.assert(
      fc.property(
        tape,
        fc.nat(3),
        fc.array(event, { minLength: 1, maxLength: 25 }),
        fc.array(fc.nat(24), { maxLength: 5 }),
        (numbers, n, events, restarts) => {
          const result = compare(machineOf(numbers), { n }, events, new Set(restarts))
          for (const kind of result.kinds) kinds.add(kind)
          if (result.ended) ends++
          if (result.lostState) lost++
        }
      ),
      { numRuns: runs }
    )
    // The generator reaches what it is for.
    expect([...kinds]).to.include.members(['emit', 'raise', 'cancel', 'log', 'custom', 'named'])
    expect(ends, 'machines that ended').to.be.above(5)
    expect(lost, 'runs that ended early').to.be.below(runs / 20)
  })
})
