/** The package as it is shipped: built into a folder of its own, and used from a program beside it. */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import * as source from '../../actors/index.ts'
import * as testing from '../../lib/testing/index.ts'
import { root } from '../../scripts/bundle.ts'

const run = promisify(execFile)
type Names = Record<string, string>

/** What is exported, and what classes are called. */
const namesOf = (module: object): Names =>
  Object.fromEntries(Object.entries(module).map(([name, of]) => [name, typeof of === 'function' ? of.name : typeof of]))

describe('the built package', function () {
  this.timeout(60_000)
  let folder: string

  before(async () => {
    await mkdir(join(root, '.cache'), { recursive: true })
    folder = await mkdtemp(join(root, '.cache/build-')) // where packages are found
    await run(process.execPath, ['--import', 'tsx', 'scripts/build.ts', join(folder, 'dist')], { cwd: root })
  })
  after(() => rm(folder, { recursive: true, force: true }))

  async function program(lines: string): Promise<unknown> {
    const file = join(folder, 'program.mjs')
    await writeFile(file, lines)
    const { stdout } = await run(process.execPath, [file])
    return JSON.parse(stdout)
  }

  it('exports what the source exports, under the same names', async () => {
    const built = (await import(join(folder, 'dist/actors/index.js'))) as object
    expect(namesOf(built)).to.eql(namesOf(source))
    expect(namesOf((await import(join(folder, 'dist/lib/testing/index.js'))) as object)).to.eql(namesOf(testing))
  })

  it('has the types of both entries, and few files to load', async () => {
    const files = await readdir(join(folder, 'dist'), { recursive: true })
    expect(files).to.include.members(['actors/index.d.ts', 'lib/testing/index.d.ts'])
    expect(files.filter((file) => file.endsWith('.js')).length).to.be.below(6)
  })

  it('shows classes by their names, shares errors between its entries, and says where in the program a mistake is', async () => {
    const found = await program(`
      import * as millrace from './dist/actors/index.js'
      import { drive } from './dist/lib/testing/index.js'
      const t = millrace.topology()
      const stream = t.stream(millrace.topic('in', { value: millrace.json() }))
      const told = async (of) => {
        try {
          await of()
        } catch (error) {
          return [error.name, error instanceof millrace.MillraceError, error.details?.place]
        }
      }
      console.log(JSON.stringify([stream.constructor.name, await told(() => drive(millrace.topology())), await told(() => t.stream(millrace.topic('a b', { value: millrace.json() })))]))
    `)
    const place = `${relative(process.cwd(), folder)}/program.mjs:13`
    expect(found).to.eql(['Stream', ['TopologyError', true, null], ['TopologyError', true, place]])
  })
})
