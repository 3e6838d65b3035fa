/** The code in README.md: each block compiles under strict types, and runs on the embedded log where it names a Kafka. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** Ignored by git; one per process, so that two runs do not meet. */
const folder = join(root, '.cache/readme', `${process.pid}`)

/** What blocks take as given, by a line that only they have. */
const GIVEN: Readonly<Record<string, string>> = {
  "id: 'late-flights'": `
const transport = embeddedTransport()
await transport.admin.create(['flights', 'airports', 'late-by-state'].map(
  (topic) => ({ topic, partitions: 1, replication: 1, config: topic === 'airports' ? { 'cleanup.policy': 'compact' } : {} })
))`,
  "id: 'seats'": `
const transport = embeddedTransport()
await transport.admin.create(['seat-holds', 'freed-seats'].map((topic) => ({ topic, partitions: 1, replication: 1, config: {} })))`,
  "id: 'shop'": `
const transport = embeddedTransport()`,
  PriceServiceError: `
class PriceServiceError extends Error {}
const price = ({ sku }: { sku: string }) => sku.length
const orders = topic('orders', json<{ sku: string }>())
const t = topology()`,
  'runtime.logic': `
import { setup } from 'xstate'
import { customers, ordersTopic, totalsTopic } from '../../../examples/embedding/job.ts'
const transport = embeddedTransport()
await transport.admin.create([ordersTopic, totalsTopic].map(({ name }) => ({ topic: name, partitions: 1, replication: 1, config: {} })))
const runtime = createRuntime({ id: 'customers', topology: customers, transport, store: 'memory' })`
}

const NAMES = 'createRuntime embeddedTransport json topic topology'.split(' ')

/** As it stands, with its imports led to the sources, and those names imported that only other blocks import. */
function program(block: string): string {
  const given = Object.entries(GIVEN).find(([line]) => block.includes(line))?.[1] ?? ''
  const code = block
    .replaceAll(`'millrace'`, `'../../../actors/index.ts'`)
    .replaceAll(`'./order.ts'`, `'../../../examples/orders/order.ts'`)
    .replaceAll(`kafka: { brokers: ['localhost:9092'] }`, `transport, store: 'memory'`)
    // It would run until somebody stops it, and only one of a runtime is live at a time.
    .replaceAll('await app.stopped', 'await app.drain()')
    .replace('const report =', 'await app.drain()\nconst report =')
    .replace('await runtime.query(', `await using again = await runtime.run()\nawait runtime.query(`)
    .replaceAll('console.log(', 'void (')
  const imported = /import \{([^}]*)\} from '[^']*actors/.exec(code)?.[1] ?? ''
  const missing = NAMES.filter((name) => !new RegExp(`\\b${name}\\b`).test(imported))
  return `import { ${missing.join(', ')} } from '../../../actors/index.ts'
void [${missing.join(', ')}]
${given}
${code}
export const close = async (): Promise<void> => ${given.includes('const transport') ? 'transport.close()' : 'undefined'}
`
}

const blocks = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(
  ([, block]) => block!
)

describe('The code in README.md', function () {
  this.timeout(60_000)

  before(() => {
    mkdirSync(folder, { recursive: true })
    for (const [i, block] of blocks.entries()) writeFileSync(join(folder, `block${i}.ts`), program(block))
    const config = {
      extends: '../../../tsconfig.json',
      compilerOptions: { noUnusedLocals: false },
      include: ['*.ts']
    }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('compiles under strict types', () => {
    expect(blocks.length).to.be.at.least(4)
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { stdout, status } = spawnSync(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], {
      encoding: 'utf8'
    })
    expect(stdout).to.equal('')
    expect(status).to.equal(0)
  })

  for (const [i, block] of blocks.entries()) {
    it(`runs: ${block.split('\n').find((line) => !line.startsWith('import') && line !== '')}`, async () => {
      const { close } = (await import(join(folder, `block${i}.ts`))) as { close(): Promise<void> }
      await close()
    })
  }
})

describe('Guides in docs', () => {
  it('each have a spec that runs their code', () => {
    const specs = readdirSync(join(root, 'spec/docs')).map((name) =>
      readFileSync(join(root, 'spec/docs', name), 'utf8')
    )
    const withCode = readdirSync(join(root, 'docs')).filter(
      (name) => name.endsWith('.md') && /^```ts$/m.test(readFileSync(join(root, 'docs', name), 'utf8'))
    )
    expect(withCode.length).to.be.at.least(3)
    for (const name of withCode)
      expect(
        specs.some((spec) => spec.includes(`guide('docs/${name}'`)),
        name
      ).to.equal(true)
  })
})
