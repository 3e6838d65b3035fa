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

  async function program(lines: string, ...flags: string[]): Promise<unknown> {
    const file = join(folder, 'program.mjs')
    await writeFile(file, lines)
    const { stdout } = await run(process.execPath, [...flags, file])
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
    const lines = `
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
    `
    const place = `${relative(process.cwd(), folder)}/program.mjs:13`
    const told = ['Stream', ['TopologyError', true, null], ['TopologyError', true, place]]
    expect(await program(lines)).to.eql(told)
    expect(await program(lines, '--enable-source-maps')).to.eql(told)
  })

  it('has types that hold by themselves, for programs that check libraries, too', async () => {
    const file = join(folder, 'program.ts')
    await writeFile(
      file,
      `import { createRuntime, json, topic, topology } from './dist/actors/index.js'
       import { drive } from './dist/lib/testing/index.js'
       const t = topology()
       t.stream(topic('in', json<{ a: number }>())).filter(({ value }) => value.a > 0).to('out')
       export const driver = drive(t)
       export const runtime = createRuntime({ id: 'x', topology: t, kafka: { brokers: ['localhost:9092'] } })`
    )
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const options = [
      '--ignoreConfig',
      '--noEmit',
      '--strict',
      '--target',
      'ES2022',
      '--module',
      'NodeNext',
      '--types',
      'node'
    ]
    const { stdout } = await run(process.execPath, [tsc, ...options, file], { cwd: root }).catch((failed) => failed)
    expect(stdout).to.equal('')
  })

  it('is not built over a folder that is there', async () => {
    const refused = await run(process.execPath, ['--import', 'tsx', 'scripts/build.ts', folder], { cwd: root }).catch(
      (error: { stderr: string }) => error
    )
    expect(refused.stderr).to.match(/is there already: give a folder that is not/)
    expect(await readdir(folder)).to.include('dist')
  })
})
