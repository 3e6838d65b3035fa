/** A state machine per key: XState here, the same logic by hand on the JVM. */
import { machineBehaviour } from '../../actors/index.ts'
import { topic } from '../../lib/dsl/index.ts'
import type { Serde } from '../../lib/record.ts'
import { json } from '../../lib/serde/index.ts'
import { ExactRecords } from '../harness/expected.ts'
import type { Workload } from '../harness/types.ts'
import { keyOf, START } from './data.ts'
import { eventAt, type Invoice, type OrderEvent, orderMachine } from './order.ts'

const KEYS = 10_000

export const machine: Workload = {
  name: 'machine',
  about: 'four transitions a round and key of an XState machine, 10,000 keys; by hand on the JVM',
  inputs: 1,
  data(records, put) {
    const expected = new ExactRecords()
    const paid = new Array<number>(KEYS).fill(0)
    for (let i = 0; i < records; i++) {
      const n = i % KEYS
      const event = eventAt(i, KEYS)
      put(0, START + i, keyOf(n), Buffer.from(JSON.stringify(event)))
      if (event.type !== 'pay') continue
      paid[n]! += event.amount
      expected.add(START + i, keyOf(n), Buffer.from(JSON.stringify({ type: 'invoice', paid: paid[n] })))
    }
    return expected
  },
  build(_t, { inputs, output }, _source, taken) {
    const events: Serde<OrderEvent> = json<OrderEvent>()
    // Each event is decoded once, when the machine gets it.
    const counted: Serde<OrderEvent> = {
      ...events,
      decode(bytes, start, end) {
        taken()
        return events.decode(bytes, start, end)
      }
    }
    return machineBehaviour(orderMachine(false), {
      input: { events: topic(inputs[0]!, counted) },
      output: { invoice: topic(output, json<Invoice>()) }
    })
  }
}
