import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'

const root = fileURLToPath(new URL('..', import.meta.url))

interface Source {
  path: string
  text: string
  /** Without comments and string contents that would fool a search. */
  code: string
  imports: string[]
}

const sources: Source[] = ['lib', 'actors'].flatMap((folder) =>
  (readdirSync(join(root, folder), { recursive: true }) as string[])
    .filter((file) => file.endsWith('.ts'))
    .map((file) => {
      const path = `${folder}/${file}`
      const text = readFileSync(join(root, path), 'utf8')
      const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '')
      const imports = [...code.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, name]) =>
        name!.startsWith('.') ? relative(root, join(root, dirname(path), name!)) : name!
      )
      return { path, text, code, imports }
    })
)

/** Later rooms may import earlier ones. */
const ORDER = [
  ...[
    'lib/errors',
    'lib/time',
    'lib/record',
    'lib/check',
    'lib/serde',
    'lib/kafka',
    'lib/embedded',
    'lib/store',
    'lib/changelog',
    'lib/supervise'
  ],
  ...[
    'lib/topology',
    'lib/operators',
    'lib/dsl',
    'lib/behaviour',
    'lib/task',
    'lib/assign',
    'lib/options',
    'lib/prepare',
    'lib/query'
  ],
  ...['lib/testing', 'actors']
]
const room = (path: string): number => ORDER.findIndex((name) => path === `${name}.ts` || path.startsWith(`${name}/`))

describe('The structure', () => {
  it('has a room in the order of dependencies for every file', () => {
    expect(sources.filter(({ path }) => room(path) < 0).map(({ path }) => path)).to.deep.equal([])
  })

  it('lets dependencies point one way', () => {
    const wrong = sources.flatMap(({ path, imports }) =>
      imports
        .filter((name) => /^(lib|actors)\//.test(name) && room(name) > room(path))
        .map((name) => `${path} imports ${name}`)
    )
    expect(wrong).to.deep.equal([])
  })

  it('keeps XState out of lib, but for machines per key', () => {
    const wrong = sources.filter(
      ({ path, imports }) => path.startsWith('lib/') && imports.some((name) => name.startsWith('xstate'))
    )
    expect(wrong.map(({ path }) => path).filter((path) => !path.startsWith('lib/behaviour/machine'))).to.deep.equal([])
  })

  it('names the Kafka client in the wire adapter only', () => {
    const wrong = sources.filter(
      ({ path, code }) => /['"`]kafkajs[/'"`]/.test(code) && !path.startsWith('lib/kafka/kafkajs')
    )
    expect(wrong.map(({ path }) => path)).to.deep.equal([])
  })

  it('keeps the engine apart from the adapters: tasks and operators know ports, not Kafka or the embedded log', () => {
    const wrong = sources.filter(
      ({ path, imports }) =>
        /^lib\/(task|operators|topology|dsl)\//.test(path) &&
        imports.some((name) => /kafkajs|^lib\/embedded/.test(name))
    )
    expect(wrong.map(({ path }) => path)).to.deep.equal([])
  })

  it('takes time, timers and randomness from lib/time.ts alone', () => {
    // Provisioning a real broker deals with real processes and their real time.
    const real = (path: string): boolean => path === 'lib/time.ts' || path.startsWith('lib/testing/kafka')
    const forbidden =
      /\b(Date\.now|Math\.random|performance\.now)\s*\(|(?<![.\w])(setTimeout|setInterval|setImmediate)\s*\(|new Date\(\)/
    const wrong = sources.filter(({ path, code }) => !real(path) && forbidden.test(code))
    expect(wrong.map(({ path }) => path)).to.deep.equal([])
  })

  it('has no wildcard transition in a machine: it would swallow the errors of children', () => {
    const wrong = sources.filter(({ path, code }) => path.startsWith('actors/') && /['"]\*['"]\s*:/.test(code))
    expect(wrong.map(({ path }) => path)).to.deep.equal([])
  })

  it('opens every file with one line of purpose', () => {
    expect(sources.filter(({ text }) => !text.startsWith('/**')).map(({ path }) => path)).to.deep.equal([])
  })

  it('keeps files small: none over 500 lines, the median below 150', () => {
    const lines = sources.map(({ path, text }) => ({ path, n: text.split('\n').length })).sort((a, b) => a.n - b.n)
    expect(lines.filter(({ n }) => n > 500)).to.deep.equal([])
    expect(lines[Math.floor(lines.length / 2)]!.n).to.be.below(150)
  })

  it('has only relative imports that end in .ts', () => {
    const wrong = sources.flatMap(({ path, imports }) =>
      imports.filter((name) => /^(lib|actors)\//.test(name) && !name.endsWith('.ts')).map((name) => `${path}: ${name}`)
    )
    expect(wrong).to.deep.equal([])
  })
})
