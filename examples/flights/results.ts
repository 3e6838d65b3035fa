/** Reads what the job has committed, as any other consumer would, and keeps the last figure of each key. */
import type { Reader, Transport } from '../../lib/kafka/port.ts'
import { type Tp, tpKey } from '../../lib/record.ts'
import { until } from '../../lib/testing/until.ts'
import type { Figures } from './expected.ts'
import type { Delays, Totals } from './statistics.ts'
import { AIRPORT_DAYS, STATE_TOTALS } from './topics.ts'

export class Results {
  readonly figures: Figures = { airportDays: new Map(), states: new Map() }
  /** Called when figures have changed. */
  onChange: () => void = () => {}
  #reader: Reader
  #transport: Transport
  #topic: (name: string) => string
  #next = new Map<string, number>()

  constructor(transport: Transport, topic: (name: string) => string, onError: (error: Error) => void) {
    this.#transport = transport
    this.#topic = topic
    this.#reader = transport.reader({ isolation: 'committed', lane: 'source', maxWaitMs: 100, onError })
  }

  async start(): Promise<void> {
    await this.#follow<Delays>(this.#topic(AIRPORT_DAYS), this.figures.airportDays)
    await this.#follow<Totals>(this.#topic(STATE_TOTALS), this.figures.states)
  }

  /** Flights that are in both outputs. */
  get counted(): number {
    return Math.min(sumFlights(this.figures.airportDays), sumFlights(this.figures.states))
  }

  /** Resolves when everything that is committed now has been read. */
  async toEnd(): Promise<void> {
    const tps = [...this.#next.keys()].map((key) => {
      const cut = key.lastIndexOf('-')
      return { topic: key.slice(0, cut), partition: Number(key.slice(cut + 1)) }
    })
    const ends = await this.#settledEnds(tps)
    const before = this.onChange
    await new Promise<void>((resolve) => {
      const check = (): void => {
        before()
        if (
          tps.every((tp) => this.#next.get(tpKey(tp.topic, tp.partition))! >= ends.get(tpKey(tp.topic, tp.partition))!)
        )
          resolve()
      }
      this.onChange = check
      check()
    })
    this.onChange = before
  }

  /** A commit is answered before its markers are written: until they are, the end for committed readers lags behind. */
  async #settledEnds(tps: Tp[]): Promise<Map<string, number>> {
    return until(
      async () => {
        const [stable, all] = await Promise.all([
          this.#transport.offsets(tps, 'lso'),
          this.#transport.offsets(tps, 'hw')
        ])
        return [...all].every(([key, offset]) => stable.get(key) === offset) ? stable : undefined
      },
      { what: 'the last transactions to be settled' }
    )
  }

  close(): Promise<void> {
    return this.#reader.close()
  }

  async #follow<V>(topic: string, into: Map<string, V>): Promise<void> {
    const partitions = (await this.#transport.admin.partitions([topic])).get(topic)!
    for (let partition = 0; partition < partitions; partition++) {
      const id = tpKey(topic, partition)
      this.#next.set(id, 0)
      this.#reader.add({ topic, partition }, 0, ({ records, next }) => {
        for (let i = 0; i < records.count; i++)
          into.set(records.key(i)!.toString(), JSON.parse(records.value(i)!.toString()) as V)
        this.#next.set(id, next)
        this.onChange()
      })
    }
  }
}

function sumFlights(rows: Map<string, { flights: number }>): number {
  let sum = 0
  for (const row of rows.values()) sum += row.flights
  return sum
}
