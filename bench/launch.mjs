/** Starts the benches from source: `npm run bench -- --help`. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

// Machines against XState's own actors: needs no Kafka. The workload `machine` stands beside the JVM.
const main = fileURLToPath(new URL(process.argv[2] === 'transitions' ? 'transitions.ts' : 'main.ts', import.meta.url))
const child = spawn(process.execPath, ['--import', 'tsx', main, ...process.argv.slice(2)], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => {
  process.exitCode = signal ? 1 : (code ?? 1)
})
