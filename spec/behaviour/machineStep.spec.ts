/** One row a feature of XState: a machine, events, and what must be reached, so that no row compares nothing with nothing. */
import { expect } from 'chai'
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
  or,
  raise,
  setup,
  stateIn
} from 'xstate'
import { MachineStates } from '../../lib/behaviour/machineStates.ts'
import { MachineStep } from '../../lib/behaviour/machineStep.ts'
import { compare, effects, Ours } from './machineTrace.ts'

// biome-ignore lint/suspicious/noExplicitAny: machines of many types
type Any = any
const add = (n: number): Any => assign({ n: ({ context }: Any) => context.n + n })
const custom =
  (what: string): Any =>
  ({ context, event }: Any) =>
    void effects.push([what, context.n, event.type])
const machine = (config: Any, parts: Any = {}): AnyStateMachine =>
  createMachine({ context: { n: 0 }, ...config }, parts) as AnyStateMachine

interface Row {
  readonly machine: AnyStateMachine
  readonly events: readonly (string | EventObject)[]
  /** State value at the end, and n of the context. */
  readonly end: unknown
  readonly n?: number
  readonly effects?: number
}

const FEATURES: Record<string, Row> = {
  'entry, exit and transition actions in their order': {
    machine: machine({
      initial: 'a',
      entry: custom('root'),
      states: {
        a: {
          entry: [custom('in a'), add(1)],
          exit: [add(1), custom('out a')],
          on: { go: { target: 'b', actions: [custom('go'), add(5)] } }
        },
        b: { entry: [custom('in b')] }
      }
    }),
    events: ['go'],
    end: 'b',
    n: 7,
    effects: 3
  },
  'guards: inline, named, with parameters, and / or / not, stateIn': {
    machine: machine(
      {
        initial: 'a',
        states: {
          a: {
            on: {
              go: [
                { guard: ({ context }: Any) => context.n > 9, target: 'wrong' },
                { guard: 'never', target: 'wrong' },
                { guard: { type: 'over', params: { than: 5 } }, target: 'wrong' },
                { guard: and(['always', not('never'), or(['never', stateIn('a')])]), target: 'b', actions: add(1) }
              ]
            }
          },
          b: {},
          wrong: {}
        }
      },
      {
        guards: { never: () => false, always: () => true, over: ({ context }: Any, { than }: Any) => context.n > than }
      }
    ),
    events: ['go'],
    end: 'b',
    n: 1
  },
  'eventless transitions, with and without guards': {
    machine: machine({
      initial: 'a',
      states: {
        a: { on: { go: { target: 'b', actions: add(1) } } },
        b: {
          always: [
            { guard: ({ context }: Any) => context.n > 5, target: 'a' },
            { target: 'c', actions: add(10) }
          ]
        },
        c: { entry: custom('c') }
      }
    }),
    events: ['go'],
    end: 'c',
    n: 11
  },
  'nested states, deep targets and initial actions': {
    machine: machine({
      initial: 'p',
      states: {
        p: {
          initial: { target: 'x', actions: add(1) },
          entry: custom('in p'),
          states: {
            x: { on: { in: '#deep' } },
            y: { initial: 'z', states: { z: { id: 'deep', entry: add(2), on: { up: '#q' } } } }
          }
        },
        q: { id: 'q', on: { back: 'p.y' } }
      }
    }),
    events: ['in', 'up', 'back'],
    end: { p: { y: 'z' } },
    n: 5
  },
  'parallel states: events taken by one region, by both, and the end of all': {
    machine: machine({
      initial: 'work',
      states: {
        work: {
          type: 'parallel',
          onDone: { target: 'over', actions: add(100) },
          states: {
            one: {
              initial: 'a',
              states: {
                a: { on: { tick: { target: 'b', actions: add(1) } } },
                b: { on: { end: 'f' } },
                f: { type: 'final' }
              }
            },
            two: {
              initial: 'a',
              states: {
                a: { on: { tick: { target: 'b', actions: add(1) }, own: { actions: add(7) } } },
                b: { on: { end: 'f' } },
                f: { type: 'final' }
              }
            }
          }
        },
        over: {}
      }
    }),
    events: ['own', 'tick', 'end'],
    end: 'over',
    n: 109
  },
  'shallow and deep history, with and without something to recall': {
    machine: machine({
      initial: 'p',
      states: {
        p: {
          initial: 'a',
          states: {
            a: { on: { next: 'b' } },
            b: { initial: 'c', states: { c: { on: { next: 'd' } }, d: {} } },
            shallow: { type: 'history' },
            deep: { type: 'history', history: 'deep' }
          },
          on: { out: 'q' }
        },
        q: { on: { shallow: 'p.shallow', deep: 'p.deep' } }
      }
    }),
    events: ['next', 'next', 'out', 'shallow', 'next', 'out', 'deep'],
    end: { p: { b: 'd' } }
  },
  'delayed transitions: by number, by name, by a function of the context': {
    machine: machine(
      {
        initial: 'a',
        states: {
          a: { after: { 1000: { target: 'b', actions: add(1) } } },
          b: { after: { named: 'c' } },
          c: { after: { computed: { target: 'd' } } },
          d: {}
        }
      },
      { delays: { named: 2000, computed: ({ context }: Any) => 100 * context.n } }
    ),
    events: ['xstate.after.1000.(machine).a', 'xstate.after.named.(machine).b', 'xstate.after.computed.(machine).c'],
    end: 'd',
    effects: 1
  },
  'events raised now, and later, and taken back': {
    machine: machine({
      initial: 'a',
      states: {
        a: {
          on: {
            go: { actions: [raise({ type: 'inner' }), raise({ type: 'late' }, { delay: 50, id: 'l' })] },
            inner: { target: 'b', actions: add(1) }
          }
        },
        b: {
          on: {
            stop: { actions: cancel('l') },
            dynamic: {
              actions: raise(({ context }: Any) => ({ type: 'x', n: context.n }), {
                delay: ({ context }: Any) => context.n + 1
              })
            }
          }
        }
      }
    } as Any),
    events: ['go', 'stop', 'dynamic'],
    end: 'b',
    n: 1,
    effects: 1
  },
  'emitted events and logs': {
    machine: machine({
      on: {
        say: {
          actions: [
            emit({ type: 'plain' }),
            emit(({ context, event }: Any) => ({ type: 'made', n: context.n, by: event.by })),
            log('text'),
            log(({ context }: Any) => context.n, 'label')
          ]
        }
      }
    }),
    events: [{ type: 'say', by: 'me' } as EventObject],
    end: {},
    effects: 4
  },
  'actions by name, with parameters, and enqueueActions': {
    machine: machine(
      {
        on: {
          go: {
            actions: [
              'plain',
              { type: 'given', params: { by: 2 } },
              { type: 'given', params: ({ event }: Any) => ({ by: event.by }) },
              enqueueActions(({ enqueue, check }: Any) => {
                enqueue.assign({ n: ({ context }: Any) => context.n * 10 })
                if (check(({ context }: Any) => context.n > 0)) enqueue({ type: 'given', params: { by: 1 } })
                enqueue.emit({ type: 'enqueued' })
                enqueue.raise({ type: 'later' }, { delay: 5 })
              })
            ]
          }
        }
      },
      {
        actions: {
          plain: custom('plain'),
          given: assign({ n: ({ context }: Any, { by }: Any) => context.n + by })
        }
      }
    ),
    events: [{ type: 'go', by: 3 } as EventObject],
    end: {},
    n: 51,
    effects: 3
  },
  'wildcards, partial wildcards, forbidden events and events nobody takes': {
    machine: machine({
      initial: 'a',
      on: { 'no.way': { actions: add(1000) } },
      states: {
        a: {
          on: {
            'mouse.*': { actions: add(1) },
            '*': { actions: add(10) },
            'no.way': undefined,
            'mouse.up': { actions: add(100) }
          }
        }
      }
    }),
    events: ['mouse.up', 'mouse.down', 'else', 'no.way'],
    end: 'a',
    n: 111
  },
  'self-transitions: inside, and with reentering': {
    machine: machine({
      initial: 'a',
      states: {
        a: {
          entry: add(1),
          exit: custom('out'),
          initial: 'x',
          states: { x: { on: { next: 'y' } }, y: {} },
          on: { inner: { target: 'a' }, again: { target: 'a', reenter: true }, none: { actions: custom('none') } }
        }
      }
    }),
    events: ['next', 'inner', 'next', 'again', 'none'],
    end: { a: 'x' },
    n: 2,
    effects: 1
  },
  'several targets at once': {
    machine: machine({
      initial: 'idle',
      states: {
        idle: { on: { go: { target: ['p.one.b', 'p.two.b'] } } },
        p: {
          type: 'parallel',
          states: { one: { initial: 'a', states: { a: {}, b: {} } }, two: { initial: 'a', states: { a: {}, b: {} } } }
        }
      }
    }),
    events: ['go'],
    end: { p: { one: 'b', two: 'b' } }
  },
  'a final state: exit actions, output of the state and of the machine': {
    machine: machine({
      initial: 'a',
      exit: [add(50), custom('root out')],
      output: ({ context, event }: Any) => ({ n: context.n, from: event.output }),
      states: {
        a: { on: { end: { target: 'z', actions: add(1) } } },
        z: {
          type: 'final',
          entry: add(2),
          exit: custom('z out'),
          output: ({ context, event }: Any) => [context.n, event.type]
        }
      }
    }),
    events: ['end'],
    end: 'z',
    n: 53,
    effects: 2
  },
  'a nested final state and its done event': {
    machine: machine({
      initial: 'p',
      states: {
        p: {
          initial: 'a',
          states: { a: { on: { end: 'f' } }, f: { type: 'final', output: 42 } },
          onDone: { target: 'q', actions: assign({ n: ({ event }: Any) => event.output }) }
        },
        q: {}
      }
    }),
    events: ['end'],
    end: 'q',
    n: 42
  },
  'a machine that ends in its first step': {
    machine: machine({ initial: 'a', output: 'at once', states: { a: { always: 'z' }, z: { type: 'final' } } }),
    events: [],
    end: 'z'
  },
  tags: {
    machine: machine({
      initial: 'a',
      tags: 'all',
      states: { a: { tags: ['x', 'y'], on: { go: 'b' } }, b: { tags: 'x' } }
    }),
    events: ['go'],
    end: 'b'
  },
  'routes to a state by its id': {
    machine: machine({ initial: 'a', states: { a: {}, b: { id: 'there', route: {} } } }),
    events: [{ type: 'xstate.route', to: '#there' } as EventObject],
    end: 'b'
  },
  'machines of setup(), with input': {
    machine: setup({
      types: { context: {} as { n: number }, input: {} as { n: number }, events: {} as { type: 'go' } },
      actions: { up: assign({ n: ({ context }) => context.n + 1 }) }
    }).createMachine({
      context: ({ input }) => ({ n: input.n }),
      initial: 'a',
      states: { a: { on: { go: { actions: 'up' } } } }
    }),
    events: ['go', 'go'],
    end: 'a',
    n: 5
  }
}

describe('A step of a machine gives what XState gives for', () => {
  for (const [feature, row] of Object.entries(FEATURES)) {
    it(feature, () => {
      const events = row.events.map((event) => (typeof event === 'string' ? { type: event } : event))
      const everywhere = new Set(events.map((_, i) => i))
      compare(row.machine, { n: 3 }, events)
      compare(row.machine, { n: 3 }, events, everywhere)
      const run = new Ours(row.machine)
      let seen = run.start({ n: 3 })
      for (const event of events) seen = run.receive(event)
      const { value, context } = seen.snapshot as { value: unknown; context: { n: number } }
      expect(value).to.deep.equal(row.end)
      if (row.n !== undefined) expect(context.n).to.equal(row.n)
      if (row.effects !== undefined) expect(seen.effects).to.have.length(row.effects)
    })
  }
})

const stepOf = (made: AnyStateMachine): MachineStep =>
  new MachineStep(new MachineStates(made), { emit() {}, raise() {}, cancel() {}, log() {} })

describe('A step of a machine', () => {
  it('gives the same snapshot when nothing changes, so that nothing is written', () => {
    const step = stepOf(machine({ initial: 'a', states: { a: { on: { look: { actions: log('x') } } } } }))
    const snapshot = step.start({})
    expect(step.receive(snapshot, { type: 'look' })).to.equal(snapshot)
    expect(step.receive(snapshot, { type: 'unheard' })).to.equal(snapshot)
  })

  it('throws what a guard, an assign or the start throws, and the snapshot stays usable', () => {
    const fails = (): never => {
      throw new Error('no')
    }
    const step = stepOf(
      machine({ on: { guard: { guard: fails }, assign: { actions: assign(fails) }, ok: { actions: add(1) } } })
    )
    const snapshot = step.start({})
    expect(() => step.receive(snapshot, { type: 'guard' })).to.throw('no')
    expect(() => step.receive(snapshot, { type: 'assign' })).to.throw('no')
    expect(step.receive(snapshot, { type: 'ok' }).context).to.deep.equal({ n: 1 })
    const broken = stepOf(machine({ context: fails }))
    expect(() => broken.start({})).to.throw('no')
  })

  it('stops a loop of eventless transitions', () => {
    const looping = machine({
      initial: 'a',
      options: { maxIterations: 1000 },
      states: { a: { always: 'b' }, b: { always: 'a' } }
    })
    expect(() => stepOf(looping).start({})).to.throw('Infinite loop')
  })

  it('refuses what shows only when it runs: children, self.send, delays that are no numbers', () => {
    const step = stepOf(
      machine({
        on: {
          spawn: { actions: assign(({ spawn }: Any) => ({ ref: spawn(createMachine({})) })) },
          enqueue: {
            actions: enqueueActions(({ enqueue }: Any) => enqueue.sendTo(({ self }: Any) => self, { type: 'y' }))
          },
          self: { actions: ({ self }: Any) => self.send({ type: 'y' }) },
          delay: { actions: raise({ type: 'y' }, { delay: () => undefined as never }) }
        }
      })
    )
    const snapshot = step.start({})
    for (const type of ['spawn', 'enqueue', 'self', 'delay']) {
      expect(() => step.receive(snapshot, { type }), type)
        .to.throw()
        .with.property('code', 'ERR_MACHINE')
    }
  })
})
