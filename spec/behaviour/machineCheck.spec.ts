import { expect } from 'chai'
import {
  type AnyStateMachine,
  and,
  createMachine,
  forwardTo,
  fromPromise,
  not,
  raise,
  sendParent,
  sendTo,
  spawnChild,
  stopChild
} from 'xstate'
import { checkMachine } from '../../lib/behaviour/machineCheck.ts'

// biome-ignore lint/suspicious/noExplicitAny: machines of many types
const machine = (config: any, parts: any = {}): AnyStateMachine => createMachine({ id: 'order', ...config }, parts)
const refusal = (made: AnyStateMachine): string => {
  try {
    checkMachine(made)
  } catch (error) {
    expect(error).to.have.property('code', 'ERR_MACHINE')
    return (error as Error).message
  }
  return 'none'
}

describe('A machine behaviour refuses when it is defined', () => {
  it('invoke, naming the source, the state and the alternative', () => {
    const named = machine({
      initial: 'paid',
      states: { paid: { initial: 'x', states: { x: { invoke: { src: 'charge' } } } } }
    })
    expect(refusal(named))
      .to.include('Machine "order" invokes "charge" in state "paid.x"')
      .and.include('emit a command')
    expect(refusal(machine({ invoke: { src: fromPromise(async () => 1) } }))).to.include(
      'invokes "an inline actor" in its root state'
    )
  })

  it('messages to other actors and children, wherever the action stands', () => {
    const entry = machine({ initial: 'a', states: { a: { entry: sendTo('x', { type: 'y' }) } } })
    expect(refusal(entry)).to.include('runs sendTo in state "a"').and.include('emit()')
    expect(refusal(machine({ exit: sendParent({ type: 'y' }) }))).to.include('runs sendTo in its root state')
    expect(refusal(machine({ on: { go: { actions: forwardTo('x') } } }))).to.include('runs sendTo')
    expect(refusal(machine({ on: { go: { actions: 'start' } } }, { actions: { start: spawnChild('x') } }))).to.include(
      'runs spawnChild'
    )
    expect(refusal(machine({ always: { guard: () => false, actions: stopChild('x') } }))).to.include('runs stopChild')
    expect(refusal(machine({ initial: { target: 'a', actions: spawnChild('x') }, states: { a: {} } }))).to.include(
      'runs spawnChild in its root state'
    )
    expect(refusal(machine({ after: { 10: { actions: sendTo('x', { type: 'y' }) } } }))).to.include('runs sendTo')
  })

  it('names without an implementation, with the nearest one: XState would go on without them', () => {
    const parts = { actions: { reserve: () => {} }, guards: { enough: () => true }, delays: { patience: 10 } }
    expect(refusal(machine({ entry: 'reserv' }, parts)))
      .to.include('action "reserv"')
      .and.include('"reserve"?')
    expect(refusal(machine({ on: { go: { guard: 'enogh' } } }, parts)))
      .to.include('guard "enogh"')
      .and.include('"enough"?')
    expect(refusal(machine({ on: { go: { guard: and(['enough', not('other')]) } } }, parts))).to.include(
      'guard "other"'
    )
    expect(refusal(machine({ after: { patiense: {} } }, parts)))
      .to.include('delay "patiense"')
      .and.include('"patience"?')
    expect(refusal(machine({ entry: raise({ type: 'x' }, { delay: 'soon' as never }) }, parts))).to.include(
      'delay "soon"'
    )
  })

  it('nothing of a machine that uses what is durable', () => {
    const parts = { actions: { reserve: () => {} }, guards: { enough: () => true }, delays: { patience: 10 } }
    const all = machine(
      {
        initial: 'a',
        on: { '*': {} },
        states: { a: { entry: 'reserve', after: { patience: { guard: 'enough', target: 'b' }, 10: 'b' } }, b: {} }
      },
      parts
    )
    expect(refusal(all)).to.equal('none')
  })
})
