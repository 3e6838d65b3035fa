/**
 * Foreign-key joins while their topics lag: what waits in them goes on when a step says so. Each spec is an interleaving that once left a
 * result for ever.
 */
import { expect } from 'chai'
import { topic, topology } from '../../lib/dsl/index.ts'
import { partitionFor } from '../../lib/kafka/partitioner.ts'
import { nullable, string } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'

const people = topic('people', string()) // value: name@city
const cities = topic('cities', string())
const out = topic('out', { key: string(), value: nullable(string()) })
const cityOf = (person: string): string | null => person.split('@')[1] || null
const CITIES = 3

/** One person, and cities that lie in different partitions. */
class Slow {
  static async join(how: 'inner' | 'left', cache = false): Promise<Slow> {
    const t = topology()
    const [l, r] = [t.table(people), t.table(cities)]
    const dash = (person: string, city: string | null): string => `${person}-${city}`
    const named = { name: 'homes', value: string(), caching: false }
    const table =
      how === 'left' ? l.leftJoinByForeignKey(r, cityOf, dash, named) : l.joinByForeignKey(r, cityOf, dash, named)
    table.toStream().to(out)
    return new Slow(await drive(t, { cache, partitions: { people: 1, cities: CITIES } }))
  }

  readonly #driver: Driver
  #time = 0
  #row: string | null = null

  private constructor(driver: Driver) {
    this.#driver = driver
    driver.order = () => undefined
  }

  async person(value: string | null): Promise<void> {
    await this.#driver.send(people, 'p', value, { timestamp: this.#time++ })
  }

  async city(name: string, value: string | null): Promise<void> {
    await this.#driver.send(cities, name, value, { timestamp: this.#time++ })
  }

  /** What the left side said, as far as it goes to the partition of that city, comes there: the first `most` of it. */
  ask(city: string, most = Number.POSITIVE_INFINITY): Promise<void> {
    const key = string().encode(city)
    return this.#pass('subscription', partitionFor(key, 0, key.length, CITIES), most)
  }

  /** What the right side said comes to the left one. */
  answer(): Promise<void> {
    return this.#pass('response', 0, Number.POSITIVE_INFINITY)
  }

  /** The tasks of that side commit. */
  async flush(side: 'left' | 'right'): Promise<void> {
    for (const task of this.#driver.tasks) if (task.reads(side === 'left' ? 'people' : 'cities')) await task.flush()
  }

  /** The result that is there when everything has come. */
  async end(): Promise<string | null> {
    this.#driver.order = (waiting) => (waiting.length > 0 ? 0 : undefined)
    await this.#driver.commit()
    const result = this.row()
    await this.#driver.close()
    return result
  }

  /** The result that is there now. */
  row(): string | null {
    for (const { value } of this.#driver.output(out)) this.#row = value
    return this.#row
  }

  async #pass(kind: string, partition: number, most: number): Promise<void> {
    let left = most
    this.#driver.order = (waiting) => {
      const at = waiting.findIndex((raw) => raw.topic.includes(kind) && raw.partition === partition)
      return at < 0 || left-- <= 0 ? undefined : at
    }
    await this.#driver.advance(0)
    this.#driver.order = () => undefined
  }
}

describe('foreign-key joins whose topics lag', () => {
  for (const how of ['inner', 'left'] as const) {
    const alone = how === 'left' ? (person: string): string => `${person}-null` : () => null

    it(`${how}: answer with no row that comes and goes within one commit`, async () => {
      const j = await Slow.join(how, true)
      await j.person('Ann@rome')
      await j.flush('left')
      await j.city('rome', 'Rome')
      await j.ask('rome') // the row is in the cache, and nobody will be told that it goes
      await j.city('rome', null)
      expect(await j.end()).to.equal(alone('Ann@rome'))
    })

    it(`${how}: hear of the deletion of a row while another one comes and goes in its place within one commit`, async () => {
      const j = await Slow.join(how, true)
      await j.city('rome', 'Rome')
      await j.person('Ann@rome')
      await j.flush('right')
      await j.flush('left')
      await j.ask('rome')
      await j.answer()
      expect(j.row()).to.equal('Ann@rome-Rome')
      await j.person(null)
      await j.flush('left')
      await j.ask('rome')
      await j.person('Bob@oslo')
      await j.answer() // about the deletion: the new row is in the cache, and the right side will never hear of it
      await j.person(null)
      expect(await j.end()).to.equal(null)
    })
  }
})
