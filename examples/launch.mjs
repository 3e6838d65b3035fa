/** `npm run example -- NAME`: runs one of the examples from source, also on a fresh clone, where nothing is installed yet. */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ensureInstalled, root } from '../scripts/install.mjs'

const folder = fileURLToPath(new URL('.', import.meta.url))
// The flights are the demo: they have a command of their own.
const names = readdirSync(folder).filter((name) => name !== 'flights' && existsSync(`${folder}${name}/main.ts`))
const [name, ...rest] = process.argv.slice(2)

if (!names.includes(name)) {
  const wanted = name === undefined || name === '--help' || name === '-h'
  if (!wanted) console.error(`There is no example "${name}".`)
  console[wanted ? 'log' : 'error'](
    `npm run example -- NAME [options]\n${names.map((n) => `  npm run example -- ${n} --help`).join('\n')}`
  )
  process.exitCode = wanted ? 0 : 2
} else {
  ensureInstalled()
  const child = spawn(process.execPath, ['--import', 'tsx', `examples/${name}/main.ts`, ...rest], {
    cwd: root,
    stdio: 'inherit'
  })
  // Ctrl-C reaches the child by the terminal's process group; this parent only has to stay for its exit status.
  process.on('SIGINT', () => {})
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)))
}
