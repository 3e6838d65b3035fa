/** The compiled sub-topology: order of calls, waiting children, prefetching, flush order. */
import { expect } from 'chai'
import { topic, topology } from '../../lib/dsl/index.ts'
import { RecordSet, StreamRecord } from '../../lib/record.ts'
import { json, string } from '../../lib/serde/index.ts'
import { VirtualClock } from '../../lib/time.ts'
import { Topology } from '../../lib/topology/graph.ts'
import { type InstanceEnv, TopologyInstance } from '../../lib/topology/instance.ts'
import type { Operator, OperatorContext } from '../../lib/topology/node.ts'

const log: string[] = []
const env: InstanceEnv = {
  applicationId: 'app',
  taskId: '0_0',
  partition: 0,
  clock: new VirtualClock(),
  emit: (sink) => void log.push(sink.name),
  store: () => expect.fail('no store'),
  schedule: () => expect.fail('no schedule'),
  drop: (node, reason) => void log.push(`${node} drops ${reason}`),
  streamTime: () => -1,
  source: () => ({ topic: 'in', partition: 0, offset: 7 }),
  saved: () => undefined,
  save: () => {}
}

const node =
  (work: (record: StreamRecord<unknown, unknown>, context: OperatorContext) => void | Promise<void>) =>
  (): Operator => {
    let context: OperatorContext
    return {
      init: (c) => {
        context = c
      },
      process: (record) => work(record, context),
      close: () => void log.push(`close ${context.nodeName}`)
    }
  }

const graph = (): Topology => {
  const g = new Topology()
  g.addSource({ name: 'in', topics: ['in'], key: string(), value: string() })
  return g
}
const sink = (g: Topology, name: string, parent: string): void =>
  g.addSink({ name, parents: [parent], topic: name, key: string(), value: string() })
const instance = (g: Topology): TopologyInstance => {
  const made = new TopologyInstance(g.build('app').subtopologies[0]!, env)
  made.init()
  return made
}
const record = new StreamRecord<unknown, unknown>('k', 'v', 1)

describe('a topology instance', () => {
  beforeEach(() => void log.splice(0))

  it('calls children in order, at once when none waits', () => {
    const g = graph()
    for (const name of ['a', 'b', 'c']) sink(g, name, 'in')
    expect(instance(g).source('in').process(record)).to.equal(undefined)
    expect(log).to.deep.equal(['a', 'b', 'c'])
  })

  it('waits for a child before it calls the next', async () => {
    const g = graph()
    let release = (): void => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    g.addProcessor({ name: 'slow', parents: ['in'], create: node((r, c) => gate.then(() => c.forward(r))) })
    sink(g, 'behind-slow', 'slow')
    sink(g, 'next', 'in')
    const done = instance(g).source('in').process(record)
    expect(log).to.deep.equal([])
    release()
    await done
    expect(log).to.deep.equal(['behind-slow', 'next'])
  })

  it('forwards to one child by name, and refuses a name that is no child', () => {
    const g = graph()
    g.addProcessor({ name: 'p', parents: ['in'], create: node((r, c) => c.forward(r, 'b')) })
    sink(g, 'a', 'p')
    sink(g, 'b', 'p')
    instance(g).source('in').process(record)
    expect(log).to.deep.equal(['b'])
    const g2 = graph()
    g2.addProcessor({ name: 'p', parents: ['in'], create: node((r, c) => c.forward(r, 'x')) })
    sink(g2, 'a', 'p')
    expect(() => instance(g2).source('in').process(record)).to.throw('"x", which is not its child. Its children: a')
  })

  it('names the node that threw although others above and beside it were called', () => {
    const g = graph()
    g.addProcessor({ name: 'top', parents: ['in'], create: node((r, c) => c.forward(r)) })
    sink(g, 'fine', 'top')
    g.addProcessor({
      name: 'bad',
      parents: ['top'],
      create: node((r, c) => {
        c.forward(r)
        throw new Error('after forwarding')
      })
    })
    sink(g, 'below', 'bad')
    expect(() => instance(g).source('in').process(record))
      .to.throw('Node "bad" threw: after forwarding')
      .with.property('details')
      .deep.equal({ node: 'bad', topic: 'in', partition: 0, offset: 7 })
  })

  it('closes children first', () => {
    const g = graph()
    g.addProcessor({ name: 'up', parents: ['in'], create: node(() => {}) })
    g.addProcessor({ name: 'down', parents: ['up'], create: node(() => {}) })
    instance(g).close()
    expect(log).to.deep.equal(['close down', 'close up'])
  })

  it('prefetches for operators behind nodes that keep the key, and by time only without an extractor', () => {
    const asked = (keepsKey: boolean, byTime: boolean, extractor: boolean): number => {
      let calls = 0
      const g = new Topology()
      const timestamp = extractor ? { timestamp: () => 5 } : {}
      g.addSource({ name: 'in', topics: ['in'], key: string(), value: string(), ...timestamp })
      g.addProcessor({ name: 'mid', parents: ['in'], create: node(() => {}), keepsKey })
      g.addProcessor({
        name: 'end',
        parents: ['mid'],
        create: () => ({ process: () => {}, prefetchByTime: byTime, prefetch: () => void calls++ })
      })
      instance(g)
        .source('in')
        .prefetch(new RecordSet(Buffer.alloc(0), 0), 0, 0)
      return calls
    }
    expect([asked(true, false, false), asked(false, false, false)]).to.deep.equal([1, 0])
    expect([asked(true, true, false), asked(true, true, true), asked(true, false, true)]).to.deep.equal([1, 0, 1])
  })

  it('flushes stores after those that feed them', () => {
    const t = topology()
    t.stream(topic('in', json<number>()))
      .groupByKey()
      .count({ name: 'first' })
      .toStream()
      .groupByKey()
      .count({ name: 'second' })
    const sub = t.build('app').subtopologies[0]!
    expect(new TopologyInstance(sub, env).flushOrder).to.deep.equal(['first', 'second'])
  })
})
