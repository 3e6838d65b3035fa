/** The given cases on Kafka Streams' own test driver: what we hold for right is what it does, but for the listed differences. */
import { randomInt } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { compare } from '../conformance/compare.ts'
import { judge } from '../conformance/differential.ts'
import { bufferedOrder } from '../conformance/engines/engine.ts'
import { readCases } from '../conformance/format.ts'
import { draw } from '../conformance/generate.ts'
import { deliberate } from '../interop/differences.ts'
import { type Jvm, startJvm } from '../interop/jvm.ts'

const FOLDER = fileURLToPath(new URL('../cases/conformance', import.meta.url))
const OWN = fileURLToPath(new URL('../cases/differential', import.meta.url))

const GENERATED = 300

describe('Cases on Kafka Streams', () => {
  let jvm: Jvm | undefined

  before(async function () {
    this.timeout(180_000)
    jvm = await startJvm((line) => console.log(`      ${line}`)).catch((error: Error) => {
      console.log(`      skipped: ${error.message}`)
      return undefined
    })
  })
  after(() => jvm?.close())

  for (const c of readCases([FOLDER, OWN]).flatMap((file) => file.cases)) {
    if (c.artefact) continue
    it(c.name, async function () {
      if (!jvm) return this.skip()
      const inputs = c.buffered ? bufferedOrder(c).map((i) => c.inputs[i]!) : c.inputs
      const { steps, error } = await jvm.run({ ...c, inputs })
      const { drops: _, ...rest } = c // it counts drops of every reason
      const theirs = steps.map((step) => step.map((record) => ({ ...record, topic: 'out' })))
      const difference = compare(rest, { steps: theirs, ...(error === undefined ? {} : { error: new Error(error) }) })
      if (
        difference &&
        deliberate(
          c,
          (c.expect.steps ?? []).map((s) => s.out ?? []),
          theirs
        )
      )
        return
      expect(difference).to.equal(undefined)
    })
  }

  // A fresh seed each time; the title tells it, MILLRACE_SEED draws it again.
  const seed = Number(process.env.MILLRACE_SEED ?? randomInt(1_000_000))
  it(`${GENERATED} random cases of seed ${seed} go there as here`, async function () {
    this.timeout(240_000)
    if (!jvm) return this.skip()
    const different: string[] = []
    for (let i = 0; i < GENERATED; i++) {
      const drawn = draw(seed, i)
      const verdict = await judge(jvm, drawn)
      if (verdict.kind === 'different') different.push(`${verdict.text} ${JSON.stringify(drawn)}`)
    }
    expect(different, `npm run conformance -- --generate ${GENERATED} --seed ${seed}`).to.deep.equal([])
  })
})
