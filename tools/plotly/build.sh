#!/bin/sh
# Builds the plotly.js bundle that ships in the package:
#   src/luthier/report/assets/plotly.min.js            scatter, bar, heatmap, contour; no WebGL
#   src/luthier/report/assets/plotly.LICENSES.txt      licences of everything inside
# Needs node >= 20 and npm. Versions are pinned by package.json and package-lock.json beside this file.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
assets="$here/../../src/luthier/report/assets"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp "$here/package.json" "$here/package-lock.json" "$here/entry.js" "$here/licences.mjs" "$work"
cd "$work"
npm ci --no-audit --no-fund --ignore-scripts
# esbuild's own program comes as an optional platform package, so no install script has to run
npx esbuild entry.js --bundle --minify --format=iife --global-name=Plotly --target=es2018 --charset=utf8 \
  --define:global=window --define:define.amd=false --legal-comments=none --log-level=warning --log-override:css-syntax-error=silent \
  --metafile=meta.json --outfile=plotly.js
# the bundle is pasted into a <script> element: its own text must never close that element
sed -i 's#</script#<\\/script#g' plotly.js
mkdir -p "$assets"
{ printf '/* plotly.js %s (scatter, bar, heatmap, contour), MIT; licences: plotly.LICENSES.txt */\n' \
    "$(node -p 'require("plotly.js/package.json").version')"; cat plotly.js; } > "$assets/plotly.min.js"
node licences.mjs meta.json "$assets/plotly.LICENSES.txt"
ls -l "$assets"
