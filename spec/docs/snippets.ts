/** The code of a guide as one program: compiled under strict types and run; what stands behind `// →` is what comes out. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** All `ts` blocks in their order. Imports from the package are led to its sources. */
function program(path: string): string {
  const text = readFileSync(join(root, path), 'utf8')
  const code = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, block]) => block!).join('\n')
  const own = code
    .replaceAll(`'millrace'`, `'../../../actors/index.ts'`)
    .replaceAll(`'millrace/testing'`, `'../../../lib/testing/index.ts'`)
  const checked = own.replace(/^(.+?)\s*\/\/ → (.+)$/gm, 'checks.push([$1, $2])')
  return `export const checks: [actual: unknown, expected: unknown][] = []\n${checked}`
}

/** Specs of one guide, in a describe of their own. */
export function guide(path: string, least: { checks: number }): void {
  describe(`The code in ${path}`, function () {
    this.timeout(60_000)
    // Ignored by git; one per process and guide, so that two runs do not meet.
    const name = path.replaceAll(/\W/g, '-')
    const folder = join(root, '.cache/guides', `${process.pid}-${name}`)
    before(() => {
      mkdirSync(folder, { recursive: true })
      writeFileSync(join(folder, 'guide.ts'), program(path))
      const config = {
        extends: '../../../tsconfig.json',
        compilerOptions: { noUnusedLocals: false },
        include: ['guide.ts']
      }
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
    })
    after(() => rmSync(folder, { recursive: true, force: true }))

    it('compiles under strict types', () => {
      const tsc = join(root, 'node_modules/typescript/bin/tsc')
      const { stdout } = spawnSync(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], { encoding: 'utf8' })
      const lines = readFileSync(join(folder, 'guide.ts'), 'utf8').split('\n')
      const faults = stdout.split('\n').filter(Boolean)
      const shown = faults.map(
        (fault) => `${lines[Number(/guide\.ts\((\d+)/.exec(fault)?.[1] ?? 0) - 1] ?? ''} ← ${fault}`
      )
      expect(shown).to.deep.equal([])
    })

    it('runs, and gives what it says', async () => {
      const { checks } = (await import(join(folder, 'guide.ts'))) as { checks: [unknown, unknown][] }
      for (const [actual, expected] of checks) expect(actual).to.deep.equal(expected)
      expect(checks.length).to.be.at.least(least.checks)
    })
  })
}
