import { expect } from 'chai'
import { TransportError } from '../../lib/errors.ts'
import type { Group } from '../../lib/kafka/port.ts'
import type { StreamRecord } from '../../lib/record.ts'
import { Committer, type Work } from '../../lib/task/commit.ts'
import { IdleTime } from '../../lib/task/idleTime.ts'
import { Inbox } from '../../lib/task/inbox.ts'
import { Intake } from '../../lib/task/intake.ts'
import { Outbox } from '../../lib/task/outbox.ts'
import type { TaskStep } from '../../lib/task/port.ts'
import { Pump, type PumpOptions } from '../../lib/task/pump.ts'
import { SourceQueue } from '../../lib/task/queue.ts'
import { SavedNumbers } from '../../lib/task/saved.ts'
import { Schedules } from '../../lib/task/schedule.ts'
import { StreamTime } from '../../lib/task/streamTime.ts'
import { until } from '../../lib/testing/until.ts'
import { nextTurn, stopwatch, VirtualClock } from '../../lib/time.ts'
import type { SinkNode } from '../../lib/topology/node.ts'
import { batch, FakeProducer, meta, silent, sourceNode, text } from './fakes.ts'

const tp = { topic: 'in', partition: 0 }
const sink: SinkNode = { kind: 'sink', name: 'sink', parents: ['source'], topic: 'out', key: text, value: text }
const staleMember = () => new TransportError('old generation', 'stale-member', { kafkaCode: 22 })

interface Options extends Partial<Pick<PumpOptions, 'commitIntervalMs' | 'full' | 'atEnd'>> {
  process?: (record: StreamRecord<string, string>, emit: () => void) => void | Promise<void>
  prefetch?: (from: number, to: number) => void | Promise<void>
  probe?: (step: TaskStep) => void
  group?: Group
  producer?: FakeProducer
}

/** No operator here has work of its own; those are in mapAsync.spec.ts. */
const idle: Work = { unsettled: false, settle() {}, abandon() {} }

/** A running pump over fakes; one source partition, outputs in `producer.sent`. */
class Rig {
  readonly clock = new VirtualClock(1_000)
  readonly producer: FakeProducer
  readonly schedules = new Schedules()
  readonly streamTime = new StreamTime()
  readonly idleTime = new IdleTime({ now: 1_000, at: undefined, keep() {} })
  readonly stop = new AbortController()
  readonly persisted: Map<string, number>[] = []
  readonly times = new Map<string, number>()
  readonly commits: [offset: number, records: number][] = []
  readonly queue: SourceQueue
  readonly committer: Committer
  readonly inbox: Inbox
  readonly pump: Pump
  done!: Promise<void>
  #arrivals = 0

  constructor(options: Options = {}) {
    this.producer = options.producer ?? new FakeProducer()
    this.queue = new SourceQueue({
      tp,
      source: sourceNode(),
      start: 0,
      committed: -1,
      end: 0,
      partitionTime: -1,
      highBytes: 1e6,
      reader: { pause() {}, resume() {} },
      onNegative() {}
    })
    const outbox = new Outbox({
      taskId: '0_0',
      producer: this.producer,
      partitionCount: () => 1,
      lookUp: async () => 0,
      random: () => 0
    })
    this.committer = new Committer({
      taskId: '0_0',
      partition: 0,
      producer: this.producer,
      group: () => options.group,
      stores: [],
      changelogTopic: (store) => store,
      state: {
        position: () => undefined,
        setTime: (slot, value) => this.times.set(slot, value),
        commit: async (positions) => void this.persisted.push(positions)
      },
      queues: [this.queue],
      outbox,
      work: idle,
      expire: async () => {},
      saved: new SavedNumbers(() => undefined),
      probe: (step) => options.probe?.(step),
      committed: (offsets, records) => this.commits.push([offsets.get('in-0')!, records])
    })
    this.inbox = new Inbox('0_0', () => this.pump.wake())
    this.pump = new Pump({
      taskId: '0_0',
      intake: new Intake([this.queue], 0),
      sourceOf: () => ({
        process: (record) => {
          const emit = (): void => void outbox.emit(sink, record)
          return options.process ? (options.process(record, emit) ?? undefined) : emit()
        },
        prefetch: (_set, from, to) => options.prefetch?.(from, to) ?? undefined
      }),
      work: idle,
      measure() {},
      schedules: this.schedules,
      streamTime: this.streamTime,
      idleTime: this.idleTime,
      atEnd: options.atEnd ?? (async () => true),
      committer: this.committer,
      inbox: this.inbox,
      stores: (name) => `store ${name}`,
      producer: this.producer,
      outboxBytes: 1e6,
      full: options.full ?? (() => false),
      commitIntervalMs: options.commitIntervalMs ?? 100,
      clock: this.clock,
      logger: silent
    })
    this.committer.renew(meta(1))
  }

  run(): this {
    this.done = this.pump.run(this.stop.signal)
    this.done.catch(() => {})
    return this
  }

  push(count: number): void {
    const first = this.queue.end
    const rows = Array.from({ length: count }, (_, i) => ({ at: first + i, value: `v${first + i}` }))
    this.queue.push(batch(rows, { first }), ++this.#arrivals)
    this.pump.wake()
  }

  get sent(): (string | null)[] {
    return this.producer.sent.map(({ value }) => value)
  }

  /** As many turns as a pump without work needs to fall asleep. */
  async rest(): Promise<void> {
    for (let i = 0; i < 10; i++) await nextTurn()
  }

  async drained(): Promise<void> {
    this.pump.drain()
    await this.done
  }
}

const offsetsOf = (rig: Rig): [generation: number, offset: number][] =>
  rig.producer.offsets.map(({ meta: { generation }, offsets }) => [generation, offsets[0]!.offset])

describe('The pump', () => {
  it('processes what arrives without being polled, and commits it when the interval is over', async () => {
    const rig = new Rig().run()
    rig.push(2)
    await rig.rest()
    expect(rig.sent).to.deep.equal(['v0', 'v1'])
    expect(rig.commits, 'the interval counts from the start').to.deep.equal([])
    await rig.clock.advance(100)
    await rig.rest()
    expect(rig.commits).to.deep.equal([[2, 2]])
    await rig.drained()
  })

  it('works on while a commit is under way, one at a time, each with what was done before it began', async () => {
    const rig = new Rig().run()
    let open!: () => void
    rig.producer.gate = new Promise((resolve) => {
      open = resolve
    })
    rig.push(2)
    await rig.clock.advance(100)
    rig.push(3)
    await rig.rest()
    await rig.clock.advance(1_000)
    expect(rig.sent).to.deep.equal(['v0', 'v1', 'v2', 'v3', 'v4'])
    expect([rig.commits, offsetsOf(rig)]).to.deep.equal([[], [[1, 2]]])
    open()
    await rig.rest()
    await rig.clock.advance(100)
    expect(rig.commits).to.deep.equal([
      [2, 2],
      [5, 3]
    ])
    await rig.drained()
  })

  it('lets a commit under way come to its end when a later record fails, and fails then', async () => {
    const rig = new Rig({
      process(record, emit) {
        if (record.value === 'v2') throw new Error('poison')
        emit()
      }
    }).run()
    let open!: () => void
    rig.producer.gate = new Promise((resolve) => {
      open = resolve
    })
    rig.push(2)
    await rig.clock.advance(100)
    rig.push(1)
    await rig.rest()
    expect(rig.commits).to.deep.equal([])
    open()
    await rig.done.then(
      () => expect.fail('it failed'),
      (error) => expect(String(error.message)).to.contain('poison')
    )
    expect(rig.commits).to.deep.equal([[2, 2]])
  })

  it('does not wait for ever for a commit under way when a later record fails', async () => {
    const rig = new Rig({
      process(record, emit) {
        if (record.value === 'v2') throw new Error('poison')
        emit()
      }
    }).run()
    rig.producer.gate = new Promise(() => {})
    rig.push(2)
    await rig.clock.advance(100)
    rig.push(1)
    await rig.rest()
    await rig.clock.advance(2_000)
    await rig.done.then(
      () => expect.fail('it failed'),
      (error) => expect(String(error.message)).to.contain('poison')
    )
    expect([rig.commits, rig.committer.tried]).to.deep.equal([[], true])
  })

  describe('while it waits for room, with a commit under way', () => {
    /** What lies in the outbox is behind the seal of that commit. */
    async function full(): Promise<{ rig: Rig; refuse: (error: unknown) => void }> {
      const rig = new Rig().run()
      let refuse!: (error: unknown) => void
      rig.producer.gate = new Promise((_, reject) => {
        refuse = reject
      })
      rig.push(2)
      await rig.clock.advance(100)
      await rig.rest()
      rig.producer.pendingBytes = 2e6
      rig.producer.full = new Promise(() => {})
      rig.push(1)
      await rig.rest()
      return { rig, refuse }
    }
    const outcome = (rig: Rig): Promise<unknown> =>
      Promise.race([rig.done.catch((error) => error), rig.rest().then(() => new Error('it waits'))])

    it('fails when the commit does: what is behind its seal would never leave', async () => {
      const { rig, refuse } = await full()
      refuse(new TransportError('another has opened it', 'fenced', { kafkaCode: 47 }))
      expect(await outcome(rig)).to.have.property('fault', 'fenced')
    })

    it('stops on abort', async () => {
      const { rig } = await full()
      rig.stop.abort(new Error('lost'))
      expect(await outcome(rig)).to.have.property('message', 'lost')
    })
  })

  it('does not transact when nothing was consumed', async () => {
    const rig = new Rig().run()
    await rig.clock.advance(10_000)
    expect(rig.producer.calls).to.deep.equal([])
    expect(rig.clock.next, 'and keeps no timer').to.equal(undefined)
    await rig.drained()
    expect(rig.producer.calls).to.deep.equal([])
  })

  it('takes a position that only passed markers along when it is drained', async () => {
    const rig = new Rig().run()
    rig.queue.push(batch([], { next: 7 }), 1)
    rig.pump.wake()
    await rig.clock.advance(1_000)
    expect(rig.commits).to.deep.equal([])
    await rig.drained()
    expect(rig.commits).to.deep.equal([[7, 0]])
  })

  it('awaits an operator that waits, and keeps the order', async () => {
    const order: string[] = []
    const rig = new Rig({
      process: (record) => {
        order.push(`begin ${record.value}`)
        if (record.value !== 'v1') return
        return nextTurn().then(() => {
          order.push('end v1')
        })
      }
    }).run()
    rig.push(3)
    await until(() => order.length === 4)
    expect(order).to.deep.equal(['begin v0', 'begin v1', 'end v1', 'begin v2'])
    await rig.drained()
    expect(rig.commits).to.deep.equal([[3, 3]])
  })

  it('announces rows before it processes them, once, and waits for what they need', async () => {
    const order: string[] = []
    const rig = new Rig({
      prefetch: async (from, to) => {
        await nextTurn()
        order.push(`read ${from}-${to}`)
      },
      process: (record) => void order.push(record.value)
    }).run()
    rig.push(2)
    rig.push(1)
    await until(() => order.length === 5)
    expect(order).to.deep.equal(['read 0-2', 'v0', 'v1', 'read 0-1', 'v2'])
    await rig.drained()
  })

  it('gives the event loop a turn after about 25 ms of work, however long the batch is', async () => {
    let turns = 0
    let counting = true
    const rig = new Rig({
      process: () => {
        const began = stopwatch()
        while (stopwatch() - began < 2);
      }
    }).run()
    rig.push(100)
    const count = async (): Promise<void> => {
      while (counting) {
        await nextTurn()
        turns++
      }
    }
    const counted = count()
    await until(() => rig.committer.records > 0)
    await rig.drained()
    counting = false
    await counted
    // Draining stops after the slice in hand; what is left stays uncommitted.
    const [[offset]] = rig.commits as [[number, number]]
    expect(offset).to.be.within(1, 40)
    expect(turns).to.be.above(0)
  })

  it('fires stream-time schedules between records and wall-clock ones on the clock, with commits after', async () => {
    const fired: string[] = []
    const rig = new Rig({ process: (record) => void fired.push(record.value) })
    rig.schedules.add(2, 'stream', (time) => void fired.push(`stream ${time}`), rig.clock.now())
    rig.schedules.add(50, 'wall', (time) => void fired.push(`wall ${time}`), rig.clock.now())
    rig.run()
    rig.push(4)
    await rig.rest()
    expect(fired).to.deep.equal(['v0', 'stream 0', 'v1', 'v2', 'stream 2', 'v3'])
    await rig.clock.advance(50)
    await rig.rest()
    expect(fired.at(-1)).to.equal('wall 1050')
    await rig.drained()
  })

  it('neither processes nor fires while it is paused, and commits what was ready', async () => {
    const rig = new Rig()
    let fired = 0
    rig.schedules.add(10, 'wall', () => void fired++, rig.clock.now())
    rig.run()
    rig.push(1)
    await rig.rest()
    rig.pump.pause()
    await rig.rest()
    expect(rig.commits).to.deep.equal([[1, 1]])
    rig.push(1)
    await rig.clock.advance(500)
    expect([rig.sent.length, fired]).to.deep.equal([1, 0])
    rig.pump.resume()
    await rig.rest()
    expect([rig.sent.length, fired]).to.deep.equal([2, 1])
    await rig.drained()
  })

  it('commits before the interval is over when the cache can only be freed by that', async () => {
    let full = false
    const rig = new Rig({ full: () => full, commitIntervalMs: 1e6 }).run()
    full = true
    rig.push(1)
    await rig.rest()
    expect(rig.commits).to.deep.equal([[1, 1]])
    await rig.drained()
  })

  it('says which record user code failed on, and commits nothing', async () => {
    const rig = new Rig({
      process: (record) => {
        if (record.value === 'v1') throw new Error('bad luck')
      }
    }).run()
    rig.push(3)
    const error = await rig.done.catch((e: unknown) => e)
    expect(error).to.have.property('code', 'ERR_PROCESSING')
    expect(error).to.have.property('details').that.includes({ topic: 'in', partition: 0, offset: 1 })
    expect(rig.commits).to.deep.equal([])
  })

  it('answers questions between batches, and refuses them when it does not run', async () => {
    const rig = new Rig()
    const early = await rig.inbox.ask((store) => store('a')).catch((e: unknown) => e)
    expect(early).to.have.property('code', 'ERR_STATE')
    rig.run()
    expect(await rig.inbox.ask((store) => store('a'))).to.equal('store a')
    const failed = await rig.inbox.ask(() => Promise.reject(new Error('mine'))).catch((e: Error) => e.message)
    expect(failed).to.equal('mine')
    await rig.drained()
    expect(await rig.inbox.ask(() => 1).catch((e: unknown) => e)).to.have.property('code', 'ERR_STATE')
  })

  describe('with asks', () => {
    /** An ask that emits, and how it ended. */
    const ask = (rig: Rig, reply: string): { ended: () => unknown } => {
      let ended: unknown
      rig.inbox
        .request(() => {
          rig.committer.records++
          return { reply }
        })
        .then(
          (value) => (ended = value),
          (error) => (ended = error.code)
        )
      return { ended: () => ended }
    }
    const gated = (rig: Rig): (() => void) => {
      let open!: () => void
      rig.producer.gate = new Promise((resolve) => {
        open = resolve
      })
      return open
    }

    it('commits at once, and replies when the commit is through', async () => {
      const rig = new Rig().run()
      const open = gated(rig)
      const asked = ask(rig, 'x')
      await rig.rest()
      expect([asked.ended(), rig.producer.calls.at(-1)]).to.deep.equal([undefined, 'commit'])
      open()
      await rig.rest()
      expect(asked.ended()).to.equal('x')
      await rig.drained()
    })

    it('replies with the next commit to what is asked while one is under way', async () => {
      const rig = new Rig().run()
      const open = gated(rig)
      const first = ask(rig, 'x')
      await rig.rest()
      const second = ask(rig, 'y')
      await rig.rest()
      open()
      const next = gated(rig)
      await rig.rest()
      expect([first.ended(), second.ended()]).to.deep.equal(['x', undefined])
      next()
      await rig.rest()
      expect(second.ended()).to.equal('y')
      await rig.drained()
    })

    it('replies without a commit when there is nothing to commit, and to refusals at once', async () => {
      const rig = new Rig().run()
      expect(await rig.inbox.request(() => ({ reply: 1 }))).to.equal(1)
      expect(await rig.inbox.request(() => ({ refused: 2 })).catch((e: unknown) => e)).to.equal(2)
      expect(rig.commits).to.deep.equal([])
      await rig.drained()
    })

    it('replies with the commit that is repeated when the group has refused the first', async () => {
      const rig = new Rig().run()
      rig.producer.fail.sendOffsets = staleMember()
      const held = ask(rig, 'x')
      await rig.rest()
      const later = ask(rig, 'y')
      await rig.rest()
      expect([held.ended(), later.ended(), rig.inbox.asking]).to.deep.equal([undefined, undefined, true])
      rig.pump.renew(meta(2))
      await rig.rest()
      await rig.clock.advance(100)
      await rig.rest()
      expect([held.ended(), later.ended()]).to.deep.equal(['x', 'y'])
      await rig.drained()
    })

    it('says that the outcome is unknown when the commit fails or the task is lost, and that nothing was done to the rest', async () => {
      const rig = new Rig().run()
      rig.producer.fail.commit = new TransportError('no answer', 'unknown-outcome')
      const asked = ask(rig, 'x')
      await rig.done.catch(() => {})
      await rig.rest()
      expect(asked.ended()).to.equal('ERR_UNKNOWN_OUTCOME')

      const lost = new Rig().run()
      gated(lost)
      const sealed = ask(lost, 'x')
      await lost.rest()
      const worked = ask(lost, 'y')
      await lost.rest()
      lost.pump.pause()
      await lost.rest()
      const waits = ask(lost, 'z')
      lost.stop.abort(new Error('lost'))
      await lost.done.catch(() => {})
      await lost.rest()
      expect([sealed.ended(), worked.ended(), waits.ended()]).to.deep.equal([
        'ERR_UNKNOWN_OUTCOME',
        'ERR_UNKNOWN_OUTCOME',
        'ERR_STATE'
      ])
    })

    it('fails the task with what the work throws', async () => {
      const rig = new Rig().run()
      const asked = rig.inbox
        .request(() => {
          throw new Error('mine')
        })
        .catch((e: unknown) => e)
      expect(await rig.done.catch((e: Error) => e.message)).to.equal('mine')
      expect(await asked).to.have.property('code', 'ERR_UNKNOWN_OUTCOME')
    })
  })

  it('stops at once on abort and starts no commit', async () => {
    const rig = new Rig().run()
    rig.push(2)
    await rig.rest()
    rig.stop.abort(new Error('LOST'))
    expect(await rig.done.catch((e: Error) => e.message)).to.equal('LOST')
    expect(rig.producer.calls).to.deep.equal([])
  })
})

describe('Commits while the group rebalances', () => {
  it('are held after what was ready is committed, while processing goes on; renew lets them go on', async () => {
    const rig = new Rig().run()
    rig.push(2)
    await rig.rest()
    await rig.pump.hold()
    expect(rig.commits).to.deep.equal([[2, 2]])
    rig.push(3)
    await rig.clock.advance(10_000)
    expect(rig.sent.length, 'it never stopped').to.equal(5)
    expect(rig.commits.length).to.equal(1)
    rig.pump.renew(meta(2))
    await rig.rest()
    expect(offsetsOf(rig)).to.deep.equal([
      [1, 2],
      [2, 5]
    ])
    await rig.drained()
  })

  it('are repeated in the same transaction with the new metadata when the old one was refused', async () => {
    const rig = new Rig().run()
    rig.producer.fail.sendOffsets = staleMember()
    rig.push(2)
    await rig.clock.advance(100)
    await rig.rest()
    expect(rig.commits).to.deep.equal([])
    rig.push(1)
    await rig.clock.advance(1_000)
    expect(rig.sent.length, 'processing goes on').to.equal(3)
    expect(rig.producer.calls, 'and nothing is tried with the refused metadata').to.deep.equal(['flush', 'sendOffsets'])
    rig.pump.renew(meta(2))
    await rig.rest()
    expect(rig.producer.calls.slice(2)).to.deep.equal(['flush', 'sendOffsets', 'commit'])
    expect(offsetsOf(rig)).to.deep.equal([
      [1, 2],
      [2, 3]
    ])
    expect(rig.persisted.length).to.equal(1)
    await rig.drained()
  })

  it('are repeated at once when the new metadata came while the old one was refused', async () => {
    const producer = new FakeProducer()
    const rig = new Rig({ producer })
    const sendOffsets = producer.sendOffsets.bind(producer)
    producer.sendOffsets = async (m, offsets) => {
      if (m.generation === 1) rig.pump.renew(meta(2))
      await sendOffsets(m, offsets)
    }
    producer.fail.sendOffsets = staleMember()
    rig.run()
    rig.push(1)
    await rig.clock.advance(100)
    await rig.rest()
    expect(offsetsOf(rig).map(([generation]) => generation)).to.deep.equal([1, 2])
    expect(rig.commits).to.deep.equal([[1, 1]])
    await rig.drained()
  })

  it('let a drain wait for the metadata, and end it with the commit', async () => {
    const rig = new Rig().run()
    await rig.pump.hold()
    rig.push(2)
    await rig.rest()
    rig.pump.drain()
    let ended = false
    void rig.done.then(() => {
      ended = true
    })
    await rig.rest()
    expect(ended).to.equal(false)
    rig.pump.renew(meta(2))
    await rig.done
    expect(offsetsOf(rig)).to.deep.equal([[2, 2]])
  })

  it('do not grow the cache: a full one stops the intake until they go on', async () => {
    let full = false
    const rig = new Rig({ full: () => full }).run()
    await rig.pump.hold()
    rig.push(1)
    await rig.rest()
    full = true
    rig.push(1)
    await rig.rest()
    expect(rig.sent.length).to.equal(1)
    rig.pump.renew(meta(2))
    await rig.rest()
    full = false
    rig.pump.wake()
    await rig.rest()
    expect(rig.sent.length).to.equal(2)
    await rig.drained()
  })

  it('settle a hold also when the pump fails meanwhile', async () => {
    const rig = new Rig().run()
    rig.producer.fail.flush = new TransportError('gone', 'fenced')
    rig.push(1)
    await rig.rest()
    await rig.pump.hold()
    expect(await rig.done.catch((e: unknown) => e)).to.have.property('fault', 'fenced')
  })
})

describe('Time that goes on without records', () => {
  const asked = (rig: Rig): number[] => {
    const times: number[] = []
    rig.idleTime.add(500, (time) => void times.push(time))
    return times
  }

  it('begins when nothing came for so long and the log has no more, and goes on each time so much has passed', async () => {
    const rig = new Rig()
    const times = asked(rig)
    rig.run()
    await rig.clock.advance(5_000)
    await rig.rest()
    expect(times, 'before the first record there is no time').to.deep.equal([])
    rig.push(10)
    await rig.rest()
    for (let i = 0; i < 4; i++) {
      await rig.clock.advance(250)
      await rig.rest()
    }
    expect(times).to.deep.equal([509, 1_009])
    await rig.drained()
  })

  it('stands while the log has more, or the broker does not answer', async () => {
    let answer: () => Promise<boolean> = async () => false
    const rig = new Rig({ atEnd: () => answer() })
    const times = asked(rig)
    rig.run()
    rig.push(1)
    await rig.rest()
    for (const next of [() => Promise.reject(new TransportError('gone', 'retriable')), async () => true]) {
      await rig.clock.advance(500)
      await rig.rest()
      expect(times).to.deep.equal([])
      answer = next
    }
    await rig.clock.advance(500)
    await rig.rest()
    expect(times, 'and counts from the last record').to.deep.equal([1_500])
    await rig.drained()
  })

  it('waits anew after a record, also one that comes while the log is asked', async () => {
    let answer = (_: boolean): void => {}
    const rig = new Rig({ atEnd: () => new Promise((resolve) => (answer = resolve)) })
    const times = asked(rig)
    rig.run()
    rig.push(1)
    await rig.rest()
    await rig.clock.advance(500)
    await rig.rest()
    rig.push(1)
    await rig.rest()
    answer(true)
    await rig.rest()
    expect(times).to.deep.equal([])
    await rig.clock.advance(499)
    await rig.rest()
    expect(times).to.deep.equal([])
    await rig.clock.advance(1)
    await rig.rest()
    answer(true)
    await rig.rest()
    expect(times).to.deep.equal([501])
    await rig.drained()
  })

  it('counts from the last record before a restart, and waits for so long after it all the same', async () => {
    const kept: number[] = []
    const time = new IdleTime({ now: 1_000, at: 400, keep: (at) => void kept.push(at) })
    const given: number[] = []
    time.add(500, (t) => void given.push(t))
    expect(time.next).to.equal(1_500)
    time.begin(1_500, 70)
    await time.step()
    expect(given).to.deep.equal([70 + 1_100])
    time.taken(1_600)
    expect(kept).to.deep.equal([1_600])
    expect(time.next).to.equal(2_100)
  })
})

describe('The order of a commit', () => {
  it('is flush, produce, offsets, transaction, database; the times go with the database', async () => {
    const steps: string[] = []
    const rig = new Rig({
      probe: (step) => steps.push(`${step} after ${rig.producer.calls.join(',')}, ${rig.persisted.length}`)
    })
    rig.run()
    rig.push(3)
    await rig.rest()
    await rig.drained()
    expect(steps).to.deep.equal([
      'commit:flushed after , 0',
      'commit:produced after flush, 0',
      'commit:offsets after flush,sendOffsets, 0',
      'commit:committed after flush,sendOffsets,commit, 0',
      'commit:persisted after flush,sendOffsets,commit, 1'
    ])
    expect([...rig.times]).to.deep.equal([['partition:in-0', 2]])
    expect(rig.producer.offsets[0]!.offsets[0]!.metadata).to.equal('{"t":2}')
  })

  it('remembers that a transaction was tried, so that nobody aborts it', async () => {
    const rig = new Rig().run()
    rig.producer.fail.commit = new TransportError('no answer', 'unknown-outcome')
    rig.push(1)
    await rig.clock.advance(100)
    expect(await rig.done.catch((e: unknown) => e)).to.have.property('fault', 'unknown-outcome')
    expect(rig.committer.tried).to.equal(true)
    expect(rig.persisted).to.deep.equal([])
  })
})
