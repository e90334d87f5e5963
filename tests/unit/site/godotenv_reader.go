// Reads env files as qatlasd does and prints them as JSON, one line for each path on standard input.
package main

import (
	"bufio"
	"encoding/json"
	"os"

	"github.com/joho/godotenv"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		values, err := godotenv.Read(lines.Text())
		if err != nil {
			values = map[string]string{"error": err.Error()}
		}
		if err := out.Encode(values); err != nil {
			os.Exit(1)
		}
	}
}
