/** Examples of the doc comments: all compile under strict types and run; what stands behind `// →` is what comes out. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** Ignored by git; one per process, so that two runs do not meet. */
const folder = join(root, '.cache/examples', String(process.pid))
const file = join(folder, 'examples.ts')

interface Example {
  readonly title: string
  readonly code: string
}

const examples: Example[] = ['lib/operators', 'lib/dsl', 'lib/serde'].flatMap((room) =>
  readdirSync(join(root, room)).flatMap((name) => {
    const comments = readFileSync(join(root, room, name), 'utf8').match(/\/\*\*[\s\S]*?\*\//g) ?? []
    const codes = comments.flatMap((comment) =>
      comment
        .replace(/^\/\*\*|\*\/$/g, '')
        .replace(/^\s*\* ?/gm, '')
        .split('@example')
        .slice(1)
        .map((text) => text.replace(/\n@[\s\S]*/, '').trim())
    )
    return codes.map((code, i) => ({ title: `${room}/${name}${codes.length > 1 ? ` (${i + 1})` : ''}`, code }))
  })
)

/** What examples may take as given: the names a reader would expect. */
const GIVEN = `
import {
  hopping, keyValueStore, session, sliding, topic, topology, tumbling, unlimited, windowStore
} from '../../../lib/dsl/index.ts'
import { exponential } from '../../../lib/supervise/backoff.ts'
import { on } from '../../../lib/supervise/rules.ts'
import { changed, double, int, json, long, nullable, serde, sessionWindowed, type StandardSchema, string, windowed } from '../../../lib/serde/index.ts'
interface Flight { date: string; origin: string; state: string; delay: number; distance: number }
interface Airport { name: string; state: string; open: boolean }
interface Order { lines: { sku: string; count: number }[] }
interface Click { page: string }
interface Delay { minutes: number }
interface Totals { flights: number }
const flights = topic('flights', json<Flight>())
const airports = topic('airports', json<Airport>())
const orders = topic('orders', json<Order>())
const lines = topic('lines', string())
const web = topic('web', json<Click>())
const mobile = topic('mobile', json<Click>())
const counts = topic('counts', long())
const pair = <A, B>(a: A, b: B): [A, B] => [a, b]
const z = { // a schema library
  number: () => 0,
  object: <T>(_shape: T): StandardSchema<T> => ({
    '~standard': { vendor: 'z', validate: (value) => ({ value: value as T }) }
  })
}
void [exponential, on, changed, double, hopping, keyValueStore, session, sliding, tumbling, unlimited, windowStore, int, long, nullable, serde, sessionWindowed, windowed, orders, lines, web, mobile, counts, pair, z]
export type Check = (actual: unknown, expected: unknown) => void
`

const withChecks = (code: string): string =>
  code.replace(/^(.+?)\s*\/\/ → (.+)$/gm, (_, actual, expected) => `check(${actual}, ${expected})`)

/** A block of its own, so that an example may declare what is given. */
const asFunction = ({ title, code }: Example, i: number): string => `
/* ${title} */
export function example${i}(check: Check): void {
  const t = topology()
  const stream = t.stream(flights)
  const grouped = stream.groupByKey()
  void [check, stream, grouped]
  {
    ${withChecks(code)}
  }
}
`

type Module = Record<string, (check: (actual: unknown, expected: unknown) => void) => void>

/** Public methods of the DSL's classes and its functions, as Class.method, and whether a doc comment of theirs has an example. */
function methods(): Map<string, boolean> {
  const found = new Map<string, boolean>()
  const index = readFileSync(join(root, 'lib/dsl/index.ts'), 'utf8')
  const note = (name: string, before: string): void => {
    const comment = /\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n$/.exec(before)?.[0] ?? ''
    if (!comment.includes('@internal')) found.set(name, found.get(name) || comment.includes('@example'))
  }
  for (const name of readdirSync(join(root, 'lib/dsl'))) {
    const text = readFileSync(join(root, 'lib/dsl', name), 'utf8')
    for (const match of text.matchAll(/^export (?:function (\w+)|const (\w+) = (?:<.*>)?\()/gm)) {
      const called = match[1] ?? match[2]!
      if (new RegExp(`\\b${called}\\b`).test(index)) note(called, text.slice(0, match.index))
    }
    for (const { 1: type, index: from } of text.matchAll(/^export class (\w+)/gm)) {
      const body = text.slice(from, text.indexOf('\n}\n', from))
      for (const { 1: method, index: at } of body.matchAll(/^ {2}(?!constructor)(\w+)[<(]/gm))
        note(`${type}.${method}`, body.slice(0, at))
    }
  }
  return found
}

/** What is no operator: the topology for people and for the runtime. */
const NO_OPERATORS = ['TopologyBuilder.build', 'TopologyBuilder.describe']

describe('Examples of doc comments', function () {
  this.timeout(60_000)
  let module: Module

  before(async () => {
    mkdirSync(folder, { recursive: true })
    writeFileSync(file, GIVEN + examples.map(asFunction).join(''))
    const config = {
      extends: '../../../tsconfig.json',
      compilerOptions: { noUnusedLocals: false },
      include: ['examples.ts']
    }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
    module = (await import(file)) as Module
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('exist for every operator, and some say what comes out', () => {
    const rooms = new Set(examples.map(({ title }) => title.split(' ')[0]))
    const operators = readdirSync(join(root, 'lib/operators')).filter((name) =>
      /export class \w+Operator/.test(readFileSync(join(root, 'lib/operators', name), 'utf8'))
    )
    expect(operators.filter((name) => !rooms.has(`lib/operators/${name}`))).to.deep.equal([])
    expect(examples.filter(({ code }) => code.includes('// →')).length).to.be.above(5)
  })

  it('exist for every public method and function of the DSL', () => {
    const all = [...methods()].filter(([name]) => !NO_OPERATORS.includes(name))
    expect(all.length, 'the collection works').to.be.above(60)
    expect(all.filter(([, example]) => !example).map(([name]) => name)).to.deep.equal([])
  })

  it('compile under strict types', () => {
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { stdout, status } = spawnSync(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], {
      encoding: 'utf8'
    })
    const written = readFileSync(file, 'utf8').split('\n')
    const faults = stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => {
        const at = Number(/examples\.ts\((\d+)/.exec(line)?.[1] ?? 0)
        const title = written.slice(0, at).findLast((text) => text.startsWith('/* '))
        return `${title ?? ''} ${written[at - 1]?.trim() ?? ''}: ${line.replace(/^.*?: /, '')}`
      })
    expect(faults).to.deep.equal([])
    expect(status).to.equal(0)
  })

  for (const [i, { title, code }] of examples.entries()) {
    it(`${title} runs${code.includes('// →') ? ', with the result it names' : ''}`, () => {
      module[`example${i}`]!((actual, expected) => expect(actual).to.deep.equal(expected))
    })
  }
})
