# The stage `report`: how many lesions came, in words.
# Finds its input in the context, a JSON file that $DERMFLOW_CONTEXT names. Only /bin/sh, sed
# and ls are used; a program that can read Parquet reads inputs/lesions/*.parquet.
set -eu
rows=$(sed -n 's/^ *"rows": *\([0-9]*\).*/\1/p' "$DERMFLOW_CONTEXT")
columns=$(sed -n '/"schema"/,/\]/s/^ *"name": *"\(.*\)",*/\1/p' "$DERMFLOW_CONTEXT")
messages=$(sed -n 's/^ *"messages": *"\(.*\)".*/\1/p' "$DERMFLOW_CONTEXT")

{
  echo "$TITLE"
  echo
  echo "$rows lesions, each with:"
  for column in $columns; do
    echo "  $column"
  done
} > outputs/report/report.txt

# A figure that stays with the result, and a line for whoever watches.
echo "{\"type\": \"metric\", \"name\": \"lesions\", \"value\": $rows}" >> "$messages"
echo "reported $rows lesions"
