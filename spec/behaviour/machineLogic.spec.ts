/** What a key's machine does with records, timers and questions, over a host that stores each row as bytes after every call. */
import { expect } from 'chai'
import { type AnyStateMachine, assign, cancel, createMachine, type EventObject, emit, log, raise } from 'xstate'
import { type MachineDefinition, MachineLogic } from '../../lib/behaviour/machineLogic.ts'
import { type Migrations, machineSerde } from '../../lib/behaviour/machineSerde.ts'
import { MachineStates } from '../../lib/behaviour/machineStates.ts'
import type { KeyContext } from '../../lib/behaviour/port.ts'
import { ms, VirtualClock } from '../../lib/time.ts'

// biome-ignore lint/suspicious/noExplicitAny: machines of many types
type Any = any

/** One key on one task. Its row survives as bytes only. */
class Key {
  readonly out: [string, unknown][] = []
  readonly logs: unknown[][] = []
  readonly timers = new Map<string, { due: number; clock: string }>()
  bytes: Buffer | undefined
  time = 1_000
  readonly #machine: AnyStateMachine
  readonly #definition: Partial<MachineDefinition>
  #migrations: Migrations
  #logic!: MachineLogic
  #serde!: ReturnType<typeof machineSerde>

  constructor(machine: AnyStateMachine, definition: Partial<MachineDefinition> = {}, migrations: Migrations = {}) {
    this.#machine = machine
    this.#definition = definition
    this.#migrations = migrations
    this.restart()
  }

  /** As another process would read what this one has written, perhaps with another version of the machine. */
  restart(machine = this.#machine, migrations = this.#migrations): this {
    const states = new MachineStates(machine)
    this.#serde = machineSerde(states, migrations)
    this.#logic = new MachineLogic({
      states,
      event: {},
      outputs: new Map([['said', true]]),
      startOn: undefined,
      startWith: ({ key }) => ({ key }),
      clock: 'event',
      query: {},
      ...this.#definition
    })
    return this
  }

  send(event: unknown, at = this.time, input = 'events'): this {
    this.pass(at)
    this.#keep(this.#logic.receive(input, this.#row, event, this.#context))
    return this
  }

  /** Time passes; what is due fires, the earliest first. */
  pass(to: number): this {
    for (;;) {
      const next = [...this.timers].filter(([, { due }]) => due <= to).sort(([, a], [, b]) => a.due - b.due)[0]
      if (!next) break
      const [name, { due }] = next
      this.timers.delete(name)
      this.time = due
      this.#keep(this.#logic.timer(name, this.#row, due, this.#context))
    }
    this.time = to
    return this
  }

  query(name = 'snapshot', input?: unknown): Any {
    return this.#logic.query(name, this.#row, input, 'k')
  }

  ask(event: unknown): Any {
    const { state, reply } = this.#logic.ask('send', this.#row, event, this.#context)
    this.#keep(state)
    return reply
  }

  get stored(): Any {
    return this.bytes && JSON.parse(this.bytes.toString())
  }

  get #row(): Any {
    return this.bytes && this.#serde.decode(this.bytes, 0, this.bytes.length)
  }

  #keep(row: Any): void {
    if (row === undefined) return
    this.bytes = row === null ? undefined : this.#serde.encode(row)
    if (row === null) this.timers.clear()
  }

  get #context(): KeyContext<unknown> {
    return {
      key: 'k',
      streamTime: -1,
      timestamp: this.time,
      headers: [],
      source: undefined,
      clock: new VirtualClock(),
      emit: (output, value) => void this.out.push([output, value]),
      timers: {
        set: (name, { after, clock = 'event' }) => void this.timers.set(name, { due: this.time + ms(after!), clock }),
        cancel: (name) => void this.timers.delete(name)
      },
      log: (...args) => void this.logs.push(args)
    }
  }
}

const machine = (config: Any, parts: Any = {}): AnyStateMachine =>
  createMachine(
    { id: 'm', context: ({ input }: Any) => ({ key: input.key, n: 0 }), ...config },
    parts
  ) as AnyStateMachine
const say = emit(({ context, event }: Any) => ({ type: 'said', n: context.n, event: event.type }))
const add = assign({ n: ({ context, event }: Any) => context.n + (event.by ?? 1) })

describe('A machine per key', () => {
  it('starts with its first event, keeps value and context, and emits by type', () => {
    const key = new Key(
      machine({ initial: 'a', states: { a: { on: { go: { target: 'b', actions: [add, say] } } }, b: {} } })
    )
    key.send({ type: 'other' })
    expect(key.stored).to.deep.equal({ value: 'a', context: { key: 'k', n: 0 } })
    key.send({ type: 'go', by: 5 })
    expect(key.stored).to.deep.equal({ value: 'b', context: { key: 'k', n: 5 } })
    expect(key.out).to.deep.equal([['said', { type: 'said', n: 5, event: 'go' }]])
  })

  it('keeps its history over a restart', () => {
    const player = machine({
      initial: 'on',
      states: {
        on: { initial: 'x', states: { x: { on: { next: 'y' } }, y: {}, h: { type: 'history' } }, on: { off: 'off' } },
        off: { on: { back: 'on.h' } }
      }
    })
    const key = new Key(player).send({ type: 'next' }).send({ type: 'off' }).restart().send({ type: 'back' })
    expect(key.stored.value).to.deep.equal({ on: 'y' })
  })

  describe('has timers', () => {
    const waiting = machine({
      initial: 'wait',
      states: {
        wait: {
          after: { 60000: { target: 'late', actions: [add, say] } },
          on: { done: 'ready', again: { target: 'wait', reenter: true } }
        },
        late: {},
        ready: {}
      }
    })

    it('that fire at their absolute time, also after a restart', () => {
      const key = new Key(waiting).send({ type: 'x' }, 5_000).restart().pass(64_999)
      expect(key.stored.value).to.equal('wait')
      key.pass(65_000)
      expect(key.stored.value).to.equal('late')
      expect(key.out).to.have.length(1)
    })

    it('that go when their state is left, and start anew when it is entered again', () => {
      const left = new Key(waiting).send({ type: 'done' }, 5_000)
      expect([...left.timers]).to.deep.equal([])
      const again = new Key(waiting).send({ type: 'x' }, 5_000).send({ type: 'again' }, 30_000)
      expect([...again.timers.values()]).to.deep.equal([{ due: 90_000, clock: 'event' }])
    })

    it('in wall-clock time when it is said so', () => {
      const key = new Key(waiting, { clock: 'wall' }).send({ type: 'x' })
      expect([...key.timers.values()][0]).to.have.property('clock', 'wall')
    })

    it('for raised events, with what the events hold; those without an id do not meet', () => {
      const raising = machine({
        on: {
          go: {
            actions: [
              raise(({ event }: Any) => ({ type: 'add', by: event.by }) as EventObject, { delay: 100 }),
              raise({ type: 'add', by: 10 } as EventObject, { delay: 200 }),
              raise({ type: 'add', by: 100 } as EventObject, { delay: 300, id: 'mine' })
            ]
          },
          add: { actions: add },
          stop: { actions: cancel('mine') }
        }
      })
      const key = new Key(raising).send({ type: 'go', by: 1 }).restart()
      expect(key.stored.pending).to.have.keys('raise#1', 'raise#2', 'mine')
      key.pass(1_100)
      expect(key.stored.context.n).to.equal(1)
      key.send({ type: 'stop' }).restart().pass(10_000)
      expect(key.stored).to.deep.equal({ value: {}, context: { key: 'k', n: 11 }, named: 2 })
    })

    it('that do nothing when they come late to a key that has ended', () => {
      const key = new Key(waiting).send({ type: 'x' })
      key.bytes = undefined
      expect(key.pass(100_000).stored).to.equal(undefined)
    })
  })

  describe('that reaches a final state', () => {
    const ending = machine({
      initial: 'a',
      output: ({ context }: Any) => ({ total: context.n }),
      states: {
        a: { after: { 10000: 'z' }, on: { add: { actions: add }, end: 'z' } },
        z: { type: 'final', entry: add }
      }
    })
    const outputs = new Map([['done', true]])

    it('is gone, with its timers, and its output is a record', () => {
      const key = new Key(ending, { outputs }).send({ type: 'add' }).send({ type: 'end' })
      expect(key.stored).to.equal(undefined)
      expect(key.out).to.deep.equal([['done', { total: 2 }]])
      expect(key.pass(100_000).out).to.have.length(1)
    })

    it('leaves without a record where no output takes it; the next event starts a new one', () => {
      const key = new Key(ending).send({ type: 'end' }).send({ type: 'add' })
      expect(key.out).to.deep.equal([])
      expect(key.stored.context.n).to.equal(1)
    })

    it('can end in its first step', () => {
      const key = new Key(machine({ initial: 'z', output: 1, states: { z: { type: 'final' } } }), { outputs })
      expect(key.send({ type: 'x' }).out).to.deep.equal([['done', 1]])
      expect(key.stored).to.equal(undefined)
    })
  })

  it('starts only on the events that were named; with the input that was asked for', () => {
    const key = new Key(machine({ context: ({ input }: Any) => input }), {
      startOn: new Set(['open']),
      startWith: ({ key, event, timestamp }) => ({ key, of: event.type, timestamp })
    })
    expect(key.send({ type: 'late' }).stored).to.equal(undefined)
    expect(key.ask({ type: 'late' })).to.equal(undefined)
    expect(key.send({ type: 'open' }, 7_000).stored.context).to.deep.equal({ key: 'k', of: 'open', timestamp: 7_000 })
  })

  it('makes events of values, by input; those that give none are left out', () => {
    const key = new Key(machine({ on: { paid: { actions: add } } }), {
      event: { payments: (value: Any) => (value.amount > 0 ? { type: 'paid', by: value.amount } : undefined) }
    })
    key.send({ amount: 0 }, 1_000, 'payments')
    expect(key.stored).to.equal(undefined)
    expect(key.send({ amount: 7 }, 1_000, 'payments').stored.context.n).to.equal(7)
  })

  it('refuses values that are no events, and events that only XState may make', () => {
    const key = new Key(machine({ initial: 'a', states: { a: { after: { 1000: 'b' } }, b: {} } }))
    for (const value of [
      null,
      1,
      'text',
      {},
      { type: 5 },
      { type: 'xstate.after.1000.m.a' },
      { type: 'xstate.stop' }
    ]) {
      expect(() => key.send(value), JSON.stringify(value))
        .to.throw('no event')
        .with.property('code', 'ERR_MACHINE_EVENT')
    }
  })

  it('refuses an emitted type without an output; null drops it, * takes it', () => {
    const emitting = machine({ on: { go: { actions: emit({ type: 'news' }) } } })
    expect(() => new Key(emitting).send({ type: 'go' }))
      .to.throw('"news"')
      .with.property('code', 'ERR_MACHINE_EMIT')
    expect(new Key(emitting, { outputs: new Map([['news', false]]) }).send({ type: 'go' }).out).to.deep.equal([])
    expect(new Key(emitting, { outputs: new Map([['*', true]]) }).send({ type: 'go' }).out).to.deep.equal([
      ['*', { type: 'news' }]
    ])
  })

  it('writes its log actions to the log', () => {
    const key = new Key(machine({ on: { go: { actions: [log('plain'), log(({ context }: Any) => context.n, 'n')] } } }))
    expect(key.send({ type: 'go' }).logs).to.deep.equal([['plain'], ['n', 0]])
  })

  it('answers with its snapshot, or with what a query makes of it; an ask is an event', () => {
    const key = new Key(
      machine({ initial: 'a', states: { a: { tags: 'open', on: { go: { target: 'b', actions: add } } }, b: {} } }),
      {
        query: { twice: ({ context }, input) => context.n * 2 + (input as number) }
      }
    )
    expect(key.query()).to.equal(undefined)
    expect(key.ask({ type: 'go' })).to.deep.include({ value: 'b', context: { key: 'k', n: 1 }, status: 'active' })
    expect(key.query('twice', 40)).to.equal(42)
    expect(key.query().tags).to.deep.equal([])
  })

  describe('of another version', () => {
    const v1 = machine({ version: '1', initial: 'old', states: { old: {}, both: {} } })
    const v2 = machine({ version: '2', initial: 'new', states: { new: { on: { go: 'both' } }, both: {} } })

    it('goes on from the state that migrate gives', () => {
      const key = new Key(v1).send({ type: 'x' })
      key.restart(v2, {
        '1': ({ value, context }) => ({
          value: value === 'old' ? 'new' : value,
          context: { ...(context as object), n: 7 }
        })
      })
      key.send({ type: 'go' })
      expect(key.stored).to.deep.equal({ version: '2', value: 'both', context: { key: 'k', n: 7 } })
    })

    it('is refused without a migration, naming both versions; so is a changed machine of the same version', () => {
      const key = new Key(v1).send({ type: 'x' })
      expect(() => key.restart(v2).send({ type: 'go' }))
        .to.throw('of version "1" of machine "m", which is of version "2" now')
        .with.property('code', 'ERR_MACHINE_STATE')
      const changed = machine({ version: '1', initial: 'b', states: { b: {} } })
      expect(() => key.restart(changed).send({ type: 'go' }))
        .to.throw('has no state "old"')
        .with.property('code', 'ERR_MACHINE_STATE')
    })
  })

  it('refuses a context that would be another one after a restart, naming the place', () => {
    const dated = machine({ context: () => ({ a: { when: new Date(0) } }) })
    expect(() => new Key(dated).send({ type: 'x' })).to.throw('"context.a.when" holds a Date')
    expect(() => new Key(machine({ context: { n: 1n } })).send({ type: 'x' })).to.throw('"context.n" holds a bigint')
    expect(() => new Key(machine({ context: { n: Number.NaN } })).send({ type: 'x' })).to.throw('holds a NaN')
  })

  it('drops what a failed event did', () => {
    const fails = assign(() => {
      throw new Error('no')
    })
    const key = new Key(machine({ on: { add: { actions: add }, bad: { actions: [add, fails] } } })).send({
      type: 'add'
    })
    expect(() => key.send({ type: 'bad' })).to.throw('no')
    expect(key.stored.context.n).to.equal(1)
  })
})
