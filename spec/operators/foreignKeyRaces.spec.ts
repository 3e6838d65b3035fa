/**
 * Foreign-key joins while their topics lag: what waits in them goes on when a step says so. Each spec is an interleaving that once left a
 * result for ever.
 */
import { expect } from 'chai'
import { topic, topology } from '../../lib/dsl/index.ts'
import { partitionFor } from '../../lib/kafka/partitioner.ts'
import { nullable, string } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'
import type { Raw } from '../../lib/testing/driveRecords.ts'

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
  /** All results and tombstones until the last look at the row. */
  readonly given: (string | null)[] = []
  #time = 0

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
    const partition = partitionFor(key, 0, key.length, CITIES)
    return this.#pass(
      (waiting) => waiting.findIndex((raw) => /subscription/.test(raw.topic) && raw.partition === partition),
      most
    )
  }

  /** What the right side said comes to the left one. */
  answer(): Promise<void> {
    return this.#pass((waiting) => waiting.findIndex((raw) => /response/.test(raw.topic)))
  }

  /** All that waits comes to the other side, and what it causes waits. @returns how much it was */
  async hop(): Promise<number> {
    let waits = 0
    await this.#pass((waiting) => {
      waits = waiting.length
      return -1
    })
    await this.#pass(() => 0, waits)
    return waits
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
    this.given.push(...this.#driver.output(out).map(({ value }) => value))
    return this.given.at(-1) ?? null
  }

  async #pass(next: (waiting: readonly Raw[]) => number, most = Number.POSITIVE_INFINITY): Promise<void> {
    let left = most
    this.#driver.order = (waiting) => {
      const at = left-- > 0 ? next(waiting) : -1
      return at < 0 ? undefined : at
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

  describe('inner', () => {
    /** Ann lives in Rome, and all have heard of it. */
    async function annInRome(): Promise<Slow> {
      const j = await Slow.join('inner')
      await j.city('rome', 'Rome')
      await j.person('Ann@rome')
      await j.ask('rome')
      await j.answer()
      expect(j.row()).to.equal('Ann@rome-Rome')
      return j
    }

    it('hear of the deletion of a right row when the left row has changed before the response comes', async () => {
      const j = await annInRome()
      await j.city('rome', null) // its response is about Ann
      await j.person('Bob@rome')
      await j.ask('rome')
      await j.answer()
      expect(await j.end()).to.equal(null)
    })

    it('hear of the deletion of a left row when it is there again before the response comes', async () => {
      const j = await annInRome()
      await j.person(null)
      await j.ask('rome')
      await j.person('Bob@oslo')
      await j.ask('oslo')
      await j.answer()
      expect(await j.end()).to.equal(null)
    })

    for (const then of ['Bob@', null]) {
      it(`take the result of a row back that has lost its foreign key, and then ${then ? 'changes' : 'is deleted'} before the response comes`, async () => {
        const j = await annInRome()
        await j.person('Ann@')
        await j.ask('rome')
        await j.person(then) // the right side hears nothing of this
        await j.answer()
        expect(await j.end()).to.equal(null)
      })
    }

    for (const between of [null, 'Ann@']) {
      it(`hear of the deletion of a right row when the left row has moved, ${between ? 'lost its foreign key' : 'was deleted'} and is as it was before the first answer comes`, async () => {
        const j = await Slow.join('inner')
        await j.city('rome', 'Rome')
        await j.person('Ann@rome')
        await j.person('Ann@oslo')
        await j.person(between)
        await j.ask('oslo')
        await j.answer() // Rome is slow, Oslo is not
        await j.person('Ann@rome')
        await j.ask('rome', 2) // there is an answer to Ann, and Ann has moved away
        await j.city('rome', null)
        await j.ask('rome')
        await j.answer()
        expect(await j.end()).to.equal(null)
      })
    }

    it('keep the result of the row that a left row refers to now when a late response says that the former one is gone', async () => {
      const j = await annInRome()
      await j.city('oslo', 'Oslo')
      await j.city('rome', null)
      await j.person('Ann@oslo')
      await j.ask('oslo')
      await j.answer()
      expect(j.row()).to.equal('Ann@oslo-Oslo')
      expect(await j.end()).to.equal('Ann@oslo-Oslo')
    })

    it('give no tombstone for a row that changes and never had a result', async () => {
      const j = await Slow.join('inner')
      for (const name of ['Ann', 'Bob', 'Cid']) await j.person(`${name}@rome`)
      await j.end()
      expect(j.given).to.deep.equal([])
    })

    it('have no more in their topics however often a row moves before it is answered', async () => {
      const j = await annInRome()
      const waits: number[] = []
      for (let i = 0; i < 40; i++) {
        await j.person(`Ann${i}@${i % 2 ? 'oslo' : 'bern'}`) // every answer is late: no row is there
        waits.push(await j.hop())
      }
      expect(Math.max(...waits.slice(-10))).to.equal(Math.max(...waits.slice(0, 10)))
      expect(await j.end()).to.equal(null)
    })
  })
})
