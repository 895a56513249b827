// Writes the licence texts of every package that esbuild put into the bundle.
//   node licences.mjs META.json OUT.txt      (run in the folder that holds node_modules)
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [metaFile, outFile] = process.argv.slice(2);
const outputs = JSON.parse(readFileSync(metaFile, "utf8")).outputs;
const bundle = Object.entries(outputs).find(([name]) => name.endsWith(".js"))[1];

const folders = new Set();
for (const [file, { bytesInOutput }] of Object.entries(bundle.inputs)) {
  const match = file.match(/^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//);
  if (match && bytesInOutput > 0) folders.add(match[1]);
}

const parts = [];
for (const folder of [...folders].sort()) {
  const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const names = readdirSync(folder).filter((name) => /^(licen[cs]e|copying)/i.test(name)).sort();
  const text = names.map((name) => readFileSync(join(folder, name), "utf8").trim()).join("\n\n");
  const author = typeof about.author === "object" ? about.author.name : about.author;
  const stated = `Licence as stated in its package.json: ${about.license}. Author: ${author ?? "see its repository"}.`;
  parts.push(`${about.name} ${about.version} (${about.license})\n${"-".repeat(60)}\n${text || stated}\n`);
}
const head = "plotly.min.js is a bundle of plotly.js and the packages below, each under its own licence.\n";
writeFileSync(outFile, [head, ...parts].join("\n\n").replace(/[ \t]+$/gm, "").replace(/\r/g, ""));
console.log(`${parts.length} packages`);
